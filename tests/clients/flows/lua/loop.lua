-- Runs until it is killed.
while true do
end
