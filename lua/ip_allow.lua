-- ip_allow: the client's address must be in one of the allowed ranges and in none of the denied.
--
-- config:
--   allow: list of addresses and ranges ("10.0.0.0/8", "2001:db8::/32", "192.0.2.7")
--   deny:  list of exceptions from it
--
-- Without `allow` every address that is not denied passes. A request whose address is not known is
-- denied. Reason: ip_denied, status 403. The address is the one that the gateway told, and it is
-- believed from trusted peers only (check.trusted_peers).
--
-- example:
--   luaAuth:
--     script: ip_allow
--     config:
--       allow: ["10.0.0.0/8", "192.0.2.0/24"]
--       deny: ["10.9.0.0/16"]

return function(req, config)
    local ip = req.source_ip
    if ip and ip ~= "" and not postern.cidr_match(ip, config.deny or {})
        and (not config.allow or postern.cidr_match(ip, config.allow)) then
        return
    end
    return {allow = false, status = 403, reason = "ip_denied", body = "address not allowed"}
end
