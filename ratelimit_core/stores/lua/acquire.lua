-- Check everything, then write everything. Replies {now, room, room, ...}; a negative room refuses, by that much.
-- A refusal in group 0 writes nothing at all; another group that does not fit writes nothing of its own.

local now_us = time_us()
local rooms, fits, excessive = measure(now_us, #KEYS)
if not rooms then
  return fits
end
charge(now_us, #KEYS, rooms, fits, excessive)
table.insert(rooms, 1, now_us)
return rooms
