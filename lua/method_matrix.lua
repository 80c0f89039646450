-- method_matrix: which role (or plan, or user) may use which methods on which paths.
--
-- config:
--   claim:   name of what tells the caller's role; default "plan"
--   from:    "identity" (user, plan, key_id, default), "metadata" (of the API key), "claims" (of a token
--            that an earlier step verified) or "state" (what earlier steps put there)
--   allow:   map of a role to what it may do: a list of methods, ["*"] for every method, or a list of
--            rules {methods: [...], paths: [...]}
--   default: the same for who is in no row; default nothing
--
-- A path pattern is compared segment by segment: "*" is one segment, "**" at the end all that follows,
-- nothing included ("/orders/**" has "/orders" too). A caller whose claim is a list has all of those
-- roles. GET includes HEAD. OPTIONS is not special: list it if browsers ask before they call.
-- Reason: method_not_allowed, status 403 (the method exists, this caller may not use it).
--
-- example:
--   luaAuth:
--     script: method_matrix
--     config:
--       claim: roles
--       from: claims
--       allow:
--         reader: [GET]
--         clerk:
--           - {methods: [GET]}
--           - {methods: [POST, PUT], paths: ["/orders/*/lines", "/notes/**"]}
--         owner: ["*"]

return function(req, config)
    local function source()
        local from = config.from or "identity"
        if from == "claims" then
            return req.claims
        elseif from == "metadata" then
            return req.identity and req.identity.metadata
        elseif from == "identity" then
            return req.identity
        elseif from == "state" then
            return req.state
        end
        error("method_matrix: from is claims, metadata, identity or state")
    end
    local function segments(text)
        local list = {}
        for part in text:gmatch("[^/]+") do
            list[#list + 1] = part
        end
        return list
    end
    local here
    local function path_ok(pattern)
        here = here or segments(req.path)
        local parts = segments(pattern)
        for i, part in ipairs(parts) do
            if part == "**" and i == #parts then
                return true
            end
            if not here[i] or part ~= "*" and part ~= here[i] then
                return false
            end
        end
        return #here == #parts
    end
    local function methods_ok(list)
        for _, method in ipairs(list or {}) do
            if method == "*" or method == req.method or method == "GET" and req.method == "HEAD" then
                return true
            end
        end
        return false
    end
    local function rules_ok(rules)
        if type(rules[1]) ~= "table" then
            return methods_ok(rules)
        end
        for _, rule in ipairs(rules) do
            local hit = not rule.paths
            for _, pattern in ipairs(rule.paths or {}) do
                hit = hit or path_ok(pattern)
            end
            if hit and methods_ok(rule.methods or {"*"}) then
                return true
            end
        end
        return false
    end

    local from, known = source(), false
    local roles = from and from[config.claim or "plan"]
    for _, role in ipairs(type(roles) == "table" and roles or {roles}) do
        local rules = role ~= "" and (config.allow or {})[tostring(role)]
        known = known or rules
        if rules and rules_ok(rules) then
            return
        end
    end
    if not known and rules_ok(config.default or {}) then
        return
    end
    return {allow = false, status = 403, reason = "method_not_allowed", body = "method not allowed"}
end
