-- method_matrix: which plan (or user, or group) may use which methods.
--
-- config:
--   by:      what the rows are about: "plan" (default), "user", or the name of a field of the
--            API key's metadata
--   allow:   map of that value to a list of methods; ["*"] means every method
--   default: list of methods for who is in no row; default none
--
-- GET includes HEAD. OPTIONS is not special: list it if browsers ask before they call.
-- Reason: method_not_allowed, status 403 (the method exists, this caller may not use it).
--
-- example:
--   luaAuth:
--     script: method_matrix
--     config:
--       by: plan
--       allow:
--         free: [GET]
--         gold: ["*"]

return function(req, config)
    local identity, by = req.identity, config.by or "plan"
    local who
    if identity and (by == "plan" or by == "user") then
        who = identity[by]
    elseif identity then
        who = identity.metadata and identity.metadata[by]
    end
    local methods = who and who ~= "" and (config.allow or {})[who] or config.default or {}
    for _, method in ipairs(methods) do
        if method == "*" or method == req.method or (method == "GET" and req.method == "HEAD") then
            return
        end
    end
    return {allow = false, status = 403, reason = "method_not_allowed", body = "method not allowed"}
end
