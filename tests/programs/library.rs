//! Libraries of many programs, a function each, and scripts of one.

use super::tree::Node;

/// What stands before the programs. Nothing in it lasts from one call to the next.
///
/// `E` notes values as text that tells all of them apart, `P` what a `pcall` has returned, an error with a mark before
/// its text; `T` notes that it was reached.
const PRELUDE: &str = r#"
local function show(value, depth)
  local kind = type(value)
  if kind == 'number' then
    if value ~= value then return 'n:nan' end
    if value == 0 then return 1 / value < 0 and 'n:-0' or 'n:0' end
    return string.format('n:%.17g', value)
  elseif kind == 'string' then
    return #value > 2000 and 's:' .. #value .. ':' .. string.sub(value, 1, 2000) or 's:' .. value
  elseif kind == 'table' then
    if depth > 3 then return 'deep' end
    local parts = {}
    for key, field in next, value do
      parts[#parts + 1] = show(key, depth + 1) .. '=' .. show(field, depth + 1)
    end
    table.sort(parts)
    return '{' .. table.concat(parts, ',') .. '}'
  elseif kind == 'boolean' then
    return value and 'true' or 'false'
  end
  return kind
end
local function recorder()
  local notes, count = {}, 0
  local function note(text)
    count = count + 1
    if count <= 300 then notes[count] = text end
  end
  local function E(...)
    for i = 1, select('#', ...) do note(show((select(i, ...)), 0)) end
  end
  local function P(ok, ...)
    note(ok == true and 'done' or 'raised')
    local text = ...
    if not ok and type(text) == 'string' then note('!' .. text) else E(...) end
  end
  local function T(value) note('T') E(value) return value end
  return notes, E, P, T
end
local nought = -0
local function V(...) return ... end
local function G(other, ok, value) if ok then return value end return other end
local function cap(text) return string.sub(text, 1, 99) end
local function clip(text) return string.sub(text, 1, 24) end
local function line(text) return (string.gsub(text, '[\r\n]', ' ')) end
"#;

/// The name of the function that is a program.
pub fn name(number: usize) -> String {
    format!("f{number}")
}

/// A library with these programs.
pub fn source(programs: &[Node]) -> Vec<u8> {
    let mut code = format!("#!lua name=programs{PRELUDE}").into_bytes();
    for (number, program) in programs.iter().enumerate() {
        let name = name(number);
        code.extend(format!("redis.register_function('{name}', function(KEYS, ARGV)\n").bytes());
        write_body(program, &mut code);
        code.extend(b"end)\n");
    }
    code
}

/// A script with this program, in a function as in a library: there is one set of constants for each.
pub fn script(program: &Node) -> Vec<u8> {
    let mut code = PRELUDE.as_bytes().to_vec();
    code.extend(b"local function program()\n");
    write_body(program, &mut code);
    code.extend(b"end\nlocal notes = program()\nreturn notes\n");
    code
}

/// The program between what it notes its values with and the reply.
fn write_body(program: &Node, code: &mut Vec<u8>) {
    code.extend(b"local notes, E, P, T = recorder()\n");
    program.render(code);
    code.extend(b"\ndo return notes end\n");
}
