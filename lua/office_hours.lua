-- office_hours: requests pass on certain days, between certain hours, and not on holidays.
--
-- config:
--   days:       list of mon tue wed thu fri sat sun; default mon to fri
--   from, to:   "09:00" and "17:00" by default; `to` is no longer inside. from later than to means
--               over midnight: the day is the one on which it began
--   utc_offset: "+01:00"; default "+00:00" (fixed: it knows no summer time)
--   holidays:   list of "2026-12-25"
--   methods:    list of methods that are restricted; default all
--
-- Reason: outside_office_hours, status 403. A time or day that cannot be read is an error, and so a
-- denial.
--
-- example:
--   luaAuth:
--     script: office_hours
--     config:
--       from: "08:00"
--       to: "18:00"
--       utc_offset: "+01:00"
--       holidays: ["2026-12-25", "2026-12-26"]

return function(req, config)
    local function minutes(text)
        local hours, mins = tostring(text):match("^(%d%d?):(%d%d)$")
        hours, mins = tonumber(hours), tonumber(mins)
        if not hours or hours > 24 or mins > 59 then
            error("office_hours: a time is written \"09:00\", not \"" .. tostring(text) .. "\"")
        end
        return hours * 60 + mins
    end
    local function has(list, wanted)
        for _, one in ipairs(list) do
            if one:lower() == wanted then
                return true
            end
        end
        return false
    end

    if config.methods and not has(config.methods, req.method:lower()) then
        return
    end
    local offset = config.utc_offset or "+00:00"
    if not offset:match("^[+-]%d%d:%d%d$") then
        error("office_hours: utc_offset is written \"+01:00\"")
    end
    local now = postern.now()
    local today = postern.time.fields(now, offset)
    local at = today.hour * 60 + today.minute
    local from, to = minutes(config.from or "09:00"), minutes(config.to or "17:00")
    local inside
    if from <= to then
        inside = at >= from and at < to
    else
        inside = at >= from or at < to
        if at < to then
            today = postern.time.fields(now - 86400, offset) -- the shift began yesterday
        end
    end
    local names = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
    local days = config.days or {"mon", "tue", "wed", "thu", "fri"}
    for _, day in ipairs(days) do
        if not has(names, day:lower()) then
            error("office_hours: days are mon tue wed thu fri sat sun, not \"" .. day .. "\"")
        end
    end
    if inside and has(days, today.weekday) and not has(config.holidays or {}, today.date) then
        return
    end
    return {allow = false, status = 403, reason = "outside_office_hours", body = "outside office hours"}
end
