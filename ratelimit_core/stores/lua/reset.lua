-- Forget KEYS. Replies {now, how many existed}.

return { time_us(), redis.call('DEL', unpack(KEYS)) }
