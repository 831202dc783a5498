-- The highest members: their 8 bytes one after the other, and their scores as packed f64.
-- KEYS: sorted set. ARGV: how many.
local pairs_ = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'REV', 'WITHSCORES')
local members, scores = {}, {}
for i = 1, #pairs_, 2 do
  members[#members + 1] = pairs_[i]
  scores[#scores + 1] = struct.pack('<d', tonumber(pairs_[i + 1]))
end
return {table.concat(members), table.concat(scores)}
