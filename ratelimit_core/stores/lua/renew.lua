-- Hold a lease and a claim for their time to live from now, each only if the token holds it still.
--
-- KEYS     record, lease
-- ARGV     time (as gcra.lua), token, claim (0/1), claim ttl, unknown ttl, memory, lease (0/1), lease ttl
--
-- Replies {now, lease, claim}: 1 where it is held. A lease past its deadline was lost, even if nobody took it.

local now_us = time_us()
local token = ARGV[2]
local lease_held, claim_held = 0, 0

if ARGV[7] == '1' then
  local deadline = redis.call('ZSCORE', KEYS[2], token)
  if deadline and tonumber(deadline) > now_us then
    lease_held = 1
    redis.call('ZADD', KEYS[2], now_us + tonumber(ARGV[8]), token)
    extend(KEYS[2], tonumber(ARGV[8]))
  end
end

local record = ARGV[3] == '1' and redis.call('HMGET', KEYS[1], 't', 'l') or {}
if record[1] == token and now_us < (tonumber(record[2]) or 0) then
  claim_held = 1
  local ttl, unknown_ttl = tonumber(ARGV[4]), tonumber(ARGV[5])
  local life = ttl + unknown_ttl + tonumber(ARGV[6])
  redis.call('HSET', KEYS[1], 'd', now_us + ttl, 'u', now_us + ttl + unknown_ttl, 'l', now_us + life)
  expire(KEYS[1], life)
end

return { now_us, lease_held, claim_held }
