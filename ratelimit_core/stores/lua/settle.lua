-- Give back a lease and end a claim, each only if the token still holds it: a late one frees nobody else's.
--
-- KEYS     record, lease
-- ARGV     time (as gcra.lua), token, claim (0/1), outcome (c completed, d declined, r released, u unknown), answer,
--          unknown ttl, retention, memory, lease (0/1)
--
-- Replies {now, lease, claim}: 1 where it was still held. A lease past its deadline was lost, even if nobody took it.
-- A declined claim is forgotten; a released one keeps its generation, so that a foreign processor sees the same attempt.

local now_us = time_us()
local token, outcome = ARGV[2], ARGV[4]
local lease_held, claim_held = 0, 0

if ARGV[9] == '1' then
  local deadline = redis.call('ZSCORE', KEYS[2], token)
  if deadline then
    redis.call('ZREM', KEYS[2], token)
    lease_held = tonumber(deadline) > now_us and 1 or 0
  end
end

local record = ARGV[3] == '1' and redis.call('HMGET', KEYS[1], 't', 'l') or {}
if record[1] == token and now_us < (tonumber(record[2]) or 0) then
  claim_held = 1
  local unknown_ttl, retention = tonumber(ARGV[6]), tonumber(ARGV[7])
  local lasts = outcome == 'u' and unknown_ttl or retention
  local life = lasts + (outcome == 'c' and 0 or tonumber(ARGV[8]))
  if outcome == 'd' then
    redis.call('DEL', KEYS[1])
  else
    redis.call('HSET', KEYS[1], 's', outcome, 'd', now_us, 'u', now_us + lasts, 'l', now_us + life, 'a', ARGV[5])
    redis.call('HDEL', KEYS[1], 't')
    expire(KEYS[1], life)
  end
end

return { now_us, lease_held, claim_held }
