-- Check everything, then write everything. Replies {now, room, room, ...}; a negative room refuses, by that much.
-- A refusal in group 0 writes nothing at all; another group that does not fit writes nothing of its own.

local now_us = time_us()
local rooms, fits = measure(now_us)
if not rooms then
  return fits
end
if fits['0'] ~= false then
  for i = 1, #KEYS do
    local tolerance, increment, group = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), ARGV[3 * i + 1]
    if increment > 0 and fits[group] ~= false then
      local ttl_ms = math.ceil((tolerance - rooms[i]) / 1000)
      if ARGV[1] ~= '0' then
        ttl_ms = math.max(ttl_ms, 3600000) -- a test's clock does not move with the server's
      end
      redis.call('SET', KEYS[i], now_us + tolerance - rooms[i], 'PX', ttl_ms)
    end
  end
end
table.insert(rooms, 1, now_us)
return rooms
