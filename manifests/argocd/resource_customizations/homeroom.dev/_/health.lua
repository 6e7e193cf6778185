-- The kinds of homeroom.dev follow kstatus: observedGeneration, Reconciling and Stalled first, then Ready.
local hs = { status = "Progressing", message = "Waiting for the operator" }
if obj.spec ~= nil and obj.spec.suspend == true then
  return { status = "Suspended", message = "spec.suspend is true" }
end
if obj.status == nil or obj.status.conditions == nil then
  return hs
end
local by = {}
for _, condition in ipairs(obj.status.conditions) do
  by[condition.type] = condition
end
if by.Reconciling ~= nil and by.Reconciling.status == "True" then
  hs.message = by.Reconciling.message
  return hs
end
-- Right after a commit the conditions still speak of the generation before.
if obj.status.observedGeneration ~= obj.metadata.generation then
  return hs
end
-- Degraded also when a person is needed: Argo CD takes the next commit, which may be the answer, only then.
if by.Stalled ~= nil and by.Stalled.status == "True" then
  return { status = "Degraded", message = by.Stalled.message }
end
if by.Ready ~= nil and by.Ready.status == "True" then
  return { status = "Healthy", message = by.Ready.message }
end
if by.Ready ~= nil and by.Ready.status == "False" then
  return { status = "Degraded", message = by.Ready.message }
end
return hs
