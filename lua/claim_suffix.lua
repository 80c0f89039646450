-- claim_suffix: a claim of the caller must end with a certain text, for example a mail domain.
--
-- config:
--   claim:  name of the claim; default "email"
--   from:   "claims" (of a token that an earlier step verified, default), "metadata" (of the API key),
--           "identity" (user, plan, key_id) or "state" (what earlier steps put there)
--   suffix: text, or list of texts; one must match. Compared without regard to case of the letters a to z
--
-- A caller without the claim is denied. A suffix that is a mail domain should begin with "@" and one
-- that is a host with ".", else "notexample.com" ends with "example.com" too. Where the suffix begins
-- with "@" the value must have exactly one "@". An e-mail address that the provider says is not
-- verified (email_verified: false) does not count.
-- Reasons: claim_missing, claim_wrong, claim_unverified, status 403.
--
-- example:
--   luaAuth:
--     script: claim_suffix
--     config:
--       claim: email
--       suffix: ["@example.com", "@example.org"]

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
        error("claim_suffix: from is claims, metadata, identity or state")
    end

    local claim, from = config.claim or "email", source()
    local value = from and from[claim]
    local list = type(config.suffix) == "table" and config.suffix or {config.suffix}
    if #list == 0 then
        error("claim_suffix: suffix is missing")
    end
    if type(value) ~= "string" or value == "" then
        return deny("claim_missing")
    end
    if claim == "email" and from.email_verified == false then
        return deny("claim_unverified")
    end
    value = value:lower()
    local _, ats = value:gsub("@", "")
    for _, suffix in ipairs(list) do
        local mail = suffix:sub(1, 1) == "@"
        if suffix ~= "" and #value > #suffix and value:sub(-#suffix) == suffix:lower() and (not mail or ats == 1) then
            return
        end
    end
    return deny("claim_wrong")
end
