-- canary: a share of the callers goes the new way, always the same ones, chosen by a hash.
--
-- config:
--   percent: 0 to 100, with decimals
--   by:      what stands for a caller: "user" (default: the user of the API key, or the claim sub), "ip",
--            or "header:x-session"
--   always:  list of such names that are always in
--   salt:    text; another salt chooses other callers. Default: the route's name
--   header:  name of the request header that tells the upstream; default "x-canary". List it in the step's
--            `headers` too. It is "1" for who is in and "0" for all others
--   only:    true: who is not in is turned away instead
--
-- A caller that cannot be told (no user, no address, no header) is not in. A growing percentage adds
-- callers and takes none away. Route on the header in the gateway, or read it in the upstream.
-- Reason: canary_only, status 403 (with only: true).
--
-- example:
--   luaAuth:
--     script: canary
--     headers: [x-canary]
--     config:
--       percent: 5
--       always: [ann@example.com]

return function(req, config)
    local function caller()
        local by = config.by or "user"
        if by == "user" then
            local user = req.identity and req.identity.user
            return user and user ~= "" and user or req.claims and req.claims.sub
        elseif by == "ip" then
            return req.source_ip
        end
        local header = by:match("^header:(.+)$")
        if not header then
            error("canary: by is user, ip or header:<name>")
        end
        return req.headers[header:lower()]
    end

    local percent = tonumber(config.percent)
    if not percent or percent < 0 or percent > 100 then
        error("canary: percent is a number from 0 to 100")
    end
    local who, inside = caller(), false
    if who and who ~= "" then
        who = tostring(who)
        for _, one in ipairs(config.always or {}) do
            inside = inside or one == who
        end
        local hash = postern.sha256((config.salt or req.route or "") .. "\n" .. who)
        inside = inside or tonumber(hash:sub(1, 8), 16) % 10000 < percent * 100
    end
    if config.only and not inside then
        return {allow = false, status = 403, reason = "canary_only", body = "not open to you yet"}
    end
    return {allow = true, headers = {[config.header or "x-canary"] = inside and "1" or "0"}}
end
