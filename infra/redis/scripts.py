"""What Redis does in one step, because another process may be doing the same.

A key holds a version in digits, and, when there are bytes, a newline and the bytes.
"""

from __future__ import annotations

SEPARATOR = b"\n"

PUT = """
local ttl = ARGV[1]
for i, key in ipairs(KEYS) do
    local told = ARGV[i + 1]
    local version, bytes = string.match(told, '^(%d+)(\\n?)')
    local seen = string.match(redis.call('GETRANGE', key, 0, 20), '^%d+')
    if not seen or tonumber(version) > tonumber(seen)
        or (tonumber(version) == tonumber(seen) and bytes ~= '') then
        redis.call('SET', key, told, 'PX', ttl)
    end
    redis.call('DEL', key .. ':lead')
end
return #KEYS
"""
"""KEYS: the entries' keys. ARGV: how long to keep them (ms), then what to keep under each.

Versions stay below 2**53: Lua has doubles.
"""

LEAD = """
local led = {}
for i, key in ipairs(KEYS) do
    led[i] = redis.call('SET', key .. ':lead', '1', 'NX', 'PX', ARGV[1]) and 1 or 0
end
return led
"""
"""KEYS: the missing keys. ARGV: how long a lead lasts at most (ms)."""
