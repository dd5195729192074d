"""One contender in a process of its own: each line read is a number of operations, each line written a round."""

import json
import sys

from tests.benchmarks.measure import dict_floor, one_round
from tests.benchmarks.peers.contenders import CONTENDERS


def main() -> None:
    name, keys, allowed = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "allowed"
    names = [f"user:{number}" for number in range(keys)]
    floor, contender = dict_floor(names), CONTENDERS[name](names, allowed)
    for line in sys.stdin:
        print(json.dumps(one_round(floor, contender, int(line))), flush=True)


if __name__ == "__main__":
    main()
