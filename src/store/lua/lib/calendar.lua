-- calendar: days and months of UTC, from milliseconds since 1970. Reads no clock.

local DAY_MS = 86400000
local MONTH_DAYS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function leap_days_to(year) return math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400) end

-- Days from 1970-01-01 to the first of January of a year.
local function days_before(year) return 365 * (year - 1970) + leap_days_to(year - 1) - leap_days_to(1969) end

local function month_length(year, month)
  local leap = month == 2 and leap_days_to(year) > leap_days_to(year - 1)
  return MONTH_DAYS[month] + (leap and 1 or 0)
end

-- Year, month and day, the first of each being 1.
local function date_of(ms)
  local days = math.floor(ms / DAY_MS)
  local year = 1970 + math.floor(days / 366) -- never too late; a few steps at most per thousand years
  while days_before(year + 1) <= days do year = year + 1 end
  local left, month = days - days_before(year), 1
  while left >= month_length(year, month) do
    left, month = left - month_length(year, month), month + 1
  end
  return year, month, left + 1
end

-- 2026-11-22
local function date_text(ms) return string.format('%04d-%02d-%02d', date_of(ms)) end

-- When the day, or the month, that `ms` lies in is over.
local function day_end(ms) return (math.floor(ms / DAY_MS) + 1) * DAY_MS end

local function month_end(ms)
  local year, month, day = date_of(ms)
  return day_end(ms) + (month_length(year, month) - day) * DAY_MS
end

-- The same day and time so many months later; the last day of the month where it has no such day.
local function months_later(ms, months)
  local year, month, day = date_of(ms)
  local first, of_day = ms - (day - 1) * DAY_MS, ms % DAY_MS
  for _ = 1, months do
    first = first + month_length(year, month) * DAY_MS
    month = month + 1
    if month > 12 then year, month = year + 1, 1 end
  end
  return math.floor(first / DAY_MS) * DAY_MS + (math.min(day, month_length(year, month)) - 1) * DAY_MS + of_day
end
