-- Asks Postern's forward endpoint about a request and applies the answer. Loaded by haproxy.cfg.
-- On allow it sets txn.postern_allowed; a denial is sent to the client as Postern worded it. When
-- Postern does not answer nothing is set, and haproxy.cfg denies. Cookies that come with an allow (sessions
-- whose tokens were renewed) are added to the API's answer by the second action.

local postern = "http://127.0.0.1:8083/auth/forward"
local identity = {"x-user-id", "x-solo-plan"} -- headers that only Postern may set

local function forwarded(txn)
    local headers = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        local hop = name == "host" or name == "connection" or name == "content-length"
            or name == "transfer-encoding" or name == "expect" or name == "upgrade"
            or name:sub(1, 12) == "x-forwarded-"
        if not hop then
            headers[name] = {}
            for _, value in pairs(values) do table.insert(headers[name], value) end
        end
    end
    headers["x-forwarded-method"] = {txn.sf:method()}
    headers["x-forwarded-uri"] = {txn.sf:pathq()}
    headers["x-forwarded-host"] = {txn.sf:req_hdr("host")}
    headers["x-forwarded-proto"] = {txn.f:ssl_fc() == 1 and "https" or "http"}
    headers["x-forwarded-for"] = {txn.sf:src()}
    headers["host"] = {"postern"}
    return headers
end

local function deny(txn, answer)
    local status = answer.headers["x-postern-status"] -- an answer of Postern's own that is no refusal: 200
    local reply = txn:reply({status = status and tonumber(status[0]) or answer.status})
    for _, name in ipairs({"www-authenticate", "location", "set-cookie", "cache-control", "retry-after", "ratelimit",
                           "content-type", "content-security-policy", "x-postern-decision", "x-postern-reason"}) do
        for _, value in pairs(answer.headers[name] or {}) do reply:add_header(name, value) end
    end
    reply:set_body(answer.body or "")
    txn:done(reply)
end

core.register_action("postern", {"http-req"}, function(txn)
    txn:set_var("txn.postern_allowed", false)
    local answer = core.httpclient():get({url = postern, headers = forwarded(txn), timeout = 2000})
    if not answer or not answer.status or answer.status == 0 or answer.status >= 500 then
        return -- denied by haproxy.cfg
    end
    if answer.status ~= 200 then
        return deny(txn, answer)
    end
    for _, name in ipairs(identity) do
        local value = answer.headers[name] and answer.headers[name][0] or ""
        txn.http:req_del_header(name)
        if value ~= "" then txn.http:req_set_header(name, value) end
    end
    local cookie = answer.headers["cookie"] -- where people sign in: the request's, without their session
    if cookie then
        txn.http:req_del_header("cookie")
        if cookie[0] ~= "" then txn.http:req_set_header("cookie", cookie[0]) end
    end
    txn:set_priv(answer.headers["set-cookie"])
    txn:set_var("txn.postern_allowed", true)
end)

core.register_action("postern_cookies", {"http-res"}, function(txn)
    for _, value in pairs(txn:get_priv() or {}) do txn.http:res_add_header("set-cookie", value) end
end)
