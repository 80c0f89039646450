-- claim_equals: a claim of the caller must have a certain value, or one of several.
--
-- config:
--   claim:  name of the claim; a path with dots when no claim has that name ("realm_access.roles")
--   from:   "claims" (of a token that an earlier step verified, default), "metadata" (of the API key),
--           "identity" (user, plan, key_id) or "state" (what earlier steps put there)
--   values: text, number or boolean, or a list of them; one must be the claim. Compared exactly
--   all:    true: of a claim that is a list every member must be among the values; default: one is enough
--
-- A caller without the claim is denied. Of a claim that is a list, such as groups, one member is enough
-- unless `all` is set. An e-mail address that the provider says is not verified (email_verified: false)
-- does not count.
-- Reasons: claim_missing, claim_wrong, claim_unverified, status 403.
--
-- example:
--   luaAuth:
--     script: claim_equals
--     config:
--       claim: groups
--       values: [operators, owners]

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
        error("claim_equals: from is claims, metadata, identity or state")
    end
    local function field(from, name)
        if from == nil or from[name] ~= nil then
            return from and from[name]
        end
        for part in name:gmatch("[^.]+") do
            if type(from) ~= "table" then
                return nil
            end
            from = from[part]
        end
        return from
    end

    if not config.claim or config.values == nil then
        error("claim_equals: claim and values must be given")
    end
    local wanted = {}
    for _, one in ipairs(type(config.values) == "table" and config.values or {config.values}) do
        wanted[tostring(one)] = true
    end
    local from = source()
    local value = field(from, config.claim)
    if value == nil or value == "" then
        return deny("claim_missing")
    end
    if config.claim == "email" and from.email_verified == false then
        return deny("claim_unverified")
    end
    local members, hits = type(value) == "table" and value or {value}, 0
    for _, one in ipairs(members) do
        if type(one) ~= "table" and wanted[tostring(one)] then
            hits = hits + 1
        end
    end
    if hits == 0 or config.all and hits < #members then
        return deny("claim_wrong")
    end
end
