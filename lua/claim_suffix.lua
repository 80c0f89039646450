-- claim_suffix: a claim of the caller must end with a certain text, for example a mail domain.
--
-- config:
--   claim:  name of the claim; default "email"
--   suffix: text, or list of texts; one must match. Compared without regard to case
--   from:   "metadata" (of the API key, default) or "state" (what earlier steps put there)
--
-- A caller without the claim is denied. A suffix that is a mail domain should begin with "@" and one
-- that is a host with ".", else "notexample.com" ends with "example.com" too.
-- Reasons: claim_missing, claim_wrong, status 403.
--
-- example:
--   luaAuth:
--     script: claim_suffix
--     config:
--       claim: email
--       suffix: ["@example.com", "@example.org"]

return function(req, config)
    local claim = config.claim or "email"
    local source
    if config.from == "state" then
        source = req.state
    elseif config.from == nil or config.from == "metadata" then
        source = req.identity and req.identity.metadata
    else
        error("claim_suffix: from is metadata or state")
    end
    local value = source and source[claim]
    if type(value) ~= "string" or value == "" then
        return {allow = false, status = 403, reason = "claim_missing", body = "not allowed"}
    end
    local list = type(config.suffix) == "table" and config.suffix or {config.suffix}
    if #list == 0 then
        error("claim_suffix: suffix is missing")
    end
    value = value:lower()
    for _, suffix in ipairs(list) do
        if suffix ~= "" and value:sub(-#suffix) == suffix:lower() then
            return
        end
    end
    return {allow = false, status = 403, reason = "claim_wrong", body = "not allowed"}
end
