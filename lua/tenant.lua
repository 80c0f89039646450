-- tenant: each caller reaches only the data of its own tenant.
--
-- config:
--   claim:   name of what tells the caller's tenant; default "tenant"
--   from:    "claims" (of a token that an earlier step verified, default), "metadata" (of the API key),
--            "identity" (user, plan, key_id) or "state" (what earlier steps put there)
--   path:    "/tenants/": the segment of the path behind this prefix names the tenant that is asked for; or
--   host:    ".example.com": the label of the host before this suffix does; or
--   header:  name of a request header that does; or
--   query:   name of a parameter that does
--   all:     list of tenants whose callers may reach every tenant
--   other:   "deny" (default) or "allow": a request that asks for no tenant, such as "/health"
--   set:     name of a request header that gets the tenant asked for, for the upstream; none by default.
--            List it in the step's `headers` too
--
-- Exactly one of path, host, header and query. Names are compared exactly; a parameter or header that
-- comes twice is denied. A claim that is a list has one or several tenants.
-- Reasons: tenant_missing (of the caller), tenant_not_named (in the request), tenant_wrong, status 403.
--
-- example:
--   luaAuth:
--     script: tenant
--     headers: [x-tenant]
--     config:
--       claim: tenant
--       path: /tenants/
--       set: x-tenant

return function(req, config)
    local function deny(reason)
        return {allow = false, status = 403, reason = reason, body = "not allowed"}
    end
    local function source()
        local from = config.from or "claims"
        if from == "claims" then
            return req.claims
        elseif from == "metadata" then
            return req.identity and req.identity.metadata
        elseif from == "identity" then
            return req.identity
        elseif from == "state" then
            return req.state
        end
        error("tenant: from is claims, metadata, identity or state")
    end
    local function asked()
        if config.path then
            local prefix = config.path
            if req.path:sub(1, #prefix) == prefix then
                return req.path:sub(#prefix + 1):match("^[^/]+")
            end
        elseif config.host then
            local label = req.host:sub(1, -#config.host - 1)
            return req.host:sub(-#config.host) == config.host and label:match("^[^.]+$")
        elseif config.header then
            return req.headers[config.header:lower()]
        elseif config.query then
            return postern.url.query(req.query)[config.query]
        else
            error("tenant: one of path, host, header and query must be given")
        end
    end

    local from = source()
    local mine = from and from[config.claim or "tenant"]
    if mine == nil or mine == "" then
        return deny("tenant_missing")
    end
    local tenant = asked()
    if not tenant or tenant == "" then
        if config.other == "allow" then
            return
        end
        return deny("tenant_not_named")
    end
    if type(tenant) ~= "string" then
        return deny("tenant_wrong") -- named twice
    end
    for _, one in ipairs(type(mine) == "table" and mine or {mine}) do
        local own = tostring(one) == tenant
        for _, every in ipairs(config.all or {}) do
            own = own or every == tostring(one)
        end
        if own then
            return {allow = true, headers = config.set and {[config.set] = tenant} or nil}
        end
    end
    return deny("tenant_wrong")
end
