-- header_required: the request must carry certain headers.
--
-- config:
--   headers: list of names that must be there and not be empty
--   equals:  map of name to the value it must have (or to a list of allowed values)
--   status:  status of the denial, 400 to 499; default 400
--
-- Names in any case. A header that came several times is one value with commas, so it is none of the
-- allowed values. Reasons: header_missing, header_wrong. The answer's body names the header,
-- never its value.
--
-- example:
--   luaAuth:
--     script: header_required
--     config:
--       headers: [x-tenant]
--       equals: {x-api-version: ["2024-01", "2025-01"]}

return function(req, config)
    local function deny(reason, name)
        return {
            allow = false,
            status = config.status or 400,
            reason = reason,
            body = (reason == "header_missing" and "header required: " or "header not accepted: ") .. name,
        }
    end

    for _, name in ipairs(config.headers or {}) do
        local value = req.headers[name:lower()]
        if value == nil or value == "" then
            return deny("header_missing", name)
        end
    end
    for name, wanted in pairs(config.equals or {}) do
        local value = req.headers[name:lower()]
        if value == nil then
            return deny("header_missing", name)
        end
        local ok = false
        for _, one in ipairs(type(wanted) == "table" and wanted or {wanted}) do
            ok = ok or value == tostring(one)
        end
        if not ok then
            return deny("header_wrong", name)
        end
    end
end
