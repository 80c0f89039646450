-- geo: which countries (or any other names of networks) may pass, by a table of address ranges.
--
-- config:
--   table:   map of range to name ({"192.0.2.0/24": DE}); the narrowest range that has the address counts.
--            Up to some thousands of ranges
--   allow:   list of names that may pass; without it all that are not denied
--   deny:    list of names that may not
--   unknown: "deny" (default) or "allow": an address that is in no range
--   header:  name of a request header that gets the name, for the upstream; none by default. List it in
--            the step's `headers` too
--
-- A request whose address is not known is denied. The address is the one that the gateway told, and it is
-- believed from trusted peers only (check.trusted_peers).
-- Reasons: geo_denied, geo_unknown, status 403.
--
-- example:
--   luaAuth:
--     script: geo
--     headers: [x-country]
--     config:
--       table:
--         192.0.2.0/24: DE
--         198.51.100.0/24: FR
--         198.51.100.128/25: CH
--       allow: [DE, CH]
--       header: x-country

return function(req, config)
    local function deny(reason)
        return {allow = false, status = 403, reason = reason, body = "address not allowed"}
    end
    local function has(list, wanted)
        for _, one in ipairs(list) do
            if one == wanted then
                return true
            end
        end
        return false
    end

    if config.unknown ~= nil and config.unknown ~= "deny" and config.unknown ~= "allow" then
        error("geo: unknown is deny or allow")
    end
    local name = postern.cidr_lookup(req.source_ip or "", config.table or {})
    if not name then
        if config.unknown ~= "allow" or not req.source_ip then
            return deny("geo_unknown")
        end
        return
    end
    if has(config.deny or {}, name) or config.allow and not has(config.allow, name) then
        return deny("geo_denied")
    end
    return {allow = true, headers = config.header and {[config.header] = name} or nil}
end
