-- maintenance: turns requests away while work is being done, but lets some people and paths through.
--
-- config:
--   enabled:       false switches the policy off without removing it; default true
--   methods:       list of methods that are turned away; default all ([POST, PUT, PATCH, DELETE]
--                  makes an API read-only)
--   except_users:  list of user names that pass
--   except_paths:  list of path prefixes that pass: "/health" means /health and what is below it
--   from, until:   "2026-12-01T22:00" in UTC, or with an offset ("2026-12-01T22:00:00+01:00"); outside of
--                  them the policy lets all pass
--   retry_after_s: seconds, sent as Retry-After; default: until the end, when `until` is given
--   body:          text of the answer
--
-- Reason: maintenance, status 403. (A check answers denials with 3xx and 4xx only: a 5xx would be
-- the gateway's own failure rule.)
--
-- example:
--   luaAuth:
--     script: maintenance
--     config:
--       methods: [POST, PUT, PATCH, DELETE]
--       until: "2026-12-02T04:00"
--       body: Orders are read-only until four in the morning, UTC.

return function(req, config)
    local function seconds(text)
        local at = postern.time.parse(text) or postern.time.parse(text .. ":00Z")
        if not at then
            error("maintenance: a time is written \"2026-12-01T22:00\", not \"" .. text .. "\"")
        end
        return math.floor(at)
    end
    local function has(list, wanted)
        for _, one in ipairs(list) do
            if one == wanted then
                return true
            end
        end
        return false
    end

    if config.enabled == false then
        return
    end
    local now = math.floor(postern.now())
    local ends = config["until"] and seconds(config["until"])
    if config.from and now < seconds(config.from) or ends and now >= ends then
        return
    end
    if config.methods and not has(config.methods, req.method) then
        return
    end
    local user = req.identity and req.identity.user
    if user and user ~= "" and has(config.except_users or {}, user) then
        return
    end
    for _, path in ipairs(config.except_paths or {}) do
        path = path:gsub("/+$", "")
        if req.path == path or req.path:sub(1, #path + 1) == path .. "/" then
            return
        end
    end
    local wait = config.retry_after_s or ends and ends - now
    return {
        allow = false,
        status = 403,
        reason = "maintenance",
        body = config.body or "closed for maintenance",
        headers = wait and {["retry-after"] = tostring(wait)} or nil,
    }
end
