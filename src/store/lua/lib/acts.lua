-- acts: what operators did to the house, for whoever asks later who it was and why.
--
-- Stream part:acts, one entry an act: t = when (ms), by = who, act = what, on = whom or what it was
-- done to, why = the reason given, d = what came of it. Written by the script that does the act, so
-- that there is none without its line.

local function note_act(part, actor, act, subject, reason, detail)
  redis.call('XADD', PREFIX .. 'part:acts', '*', 't', int(part.now), 'by', actor, 'act', act, 'on', subject,
    'why', reason, 'd', detail)
end
