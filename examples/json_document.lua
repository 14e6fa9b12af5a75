#!lua name=json_document
--!strict

-- JSON documents that are changed by JSON Merge Patch (RFC 7396) and read by JSON
-- Pointer (RFC 6901).
--
-- A patch is JSON that looks like the document: what it names is set, what it sets
-- to null is removed, and what it does not name stays as it was written. Numbers
-- keep all their digits, objects the order of their members, and an empty array
-- stays an array; cjson would lose all three, so the documents are read here.
--
-- A document is one key: a hash with the fields `json`, the text without white
-- space between its parts, and `version`, which grows by 1 with every write.
--
--   doc_set    1 key json [version]     the new version
--       Stores a document, in place of what was there.
--   doc_patch  1 key patch [version]    the new version
--       Patches a document. One that is not there counts as an empty object.
--   doc_get    1 key [pointer]          [version, json]; nil if there is none
--       The document, or the part that the pointer names (nil if it names none);
--       read-only
--
-- A version as the last argument is the one that the caller has read: if the
-- document has another one by now, nothing is written and the error is CONFLICT.
-- It is 0 for a document that must not be there yet. Versions begin anew when the
-- key is deleted.
--
-- Wrong arguments and text that is no JSON are an error that begins with ERR; a
-- key that holds no hash is a WRONGTYPE error. Of members of the same name the last
-- one counts. Documents and patches may be nested 100 levels deep.
--
-- All three are O(N) in the length of the document and of the patch. Reading and
-- writing a document takes about 0.2 ms a kilobyte, and nobody else is served
-- meanwhile; doc_get without a pointer does neither.

type Object = {
    -- The values by name, their names as they are written, and the names in order.
    members: { [string]: Node },
    texts: { [string]: string },
    names: { string },
}

-- One of the three is there. A scalar is its text: a string with its quotes, a
-- number, true, false, null.
type Node = { scalar: string?, items: { Node }?, object: Object? }

type Reader = { text: string, at: number }

local MAX_DEPTH = 100

-- What a scalar is that begins with this letter.
local WORDS: { [string]: string? } = { t = '^true', f = '^false', n = '^null' }

-- JSON to nodes ---------------------------------------------------------------

-- Ends the reading. `parse` makes a reply of it.
local function bad_json(reader: Reader, reason: string?): never
    error({ err = `ERR {reason or 'invalid JSON'} at character {reader.at}` })
end

-- Goes on past what matches the pattern here, and returns it.
local function take(reader: Reader, pattern: string): string?
    local first, last = string.find(reader.text, pattern, reader.at)
    if not first or not last then
        return nil
    end
    reader.at = last + 1
    return string.sub(reader.text, first, last)
end

-- The next character that is no white space; goes on to it. Empty at the end.
local function peek(reader: Reader): string
    local character = string.sub(reader.text, reader.at, reader.at)
    while character == ' ' or character == '\n' or character == '\t' or character == '\r' do
        reader.at += 1
        character = string.sub(reader.text, reader.at, reader.at)
    end
    return character
end

-- Goes on past this character if it is the next one.
local function skip(reader: Reader, character: string): boolean
    local found = peek(reader) == character
    reader.at += if found then 1 else 0
    return found
end

-- The string that begins here, with its quotes.
local function read_string(reader: Reader): string
    if peek(reader) ~= '"' then
        bad_json(reader)
    end
    local plain = take(reader, '^"[^%z\1-\31"\\]*"')
    if plain then
        return plain
    end
    local first = reader.at
    reader.at += 1
    while not take(reader, '^"') do
        local part = take(reader, '^[^%z\1-\31"\\]+')
            or take(reader, '^\\["\\/bfnrt]')
            or take(reader, '^\\u%x%x%x%x')
        if not part then
            bad_json(reader)
        end
    end
    return string.sub(reader.text, first, reader.at - 1)
end

-- What a string with its quotes, which has just been read, stands for.
local function unquote(reader: Reader, text: string): string
    if not string.find(text, '\\', 1, true) then
        return string.sub(text, 2, -2)
    end
    local ok, decoded: any = pcall(cjson.decode, `[{text}]`)
    -- Half of a surrogate pair is no character.
    return if ok then decoded[1] else bad_json(reader)
end

local function read_number(reader: Reader): string
    local first = reader.at
    if not take(reader, '^%-?[1-9]%d*') and not take(reader, '^%-?0') then
        bad_json(reader)
    end
    if string.sub(reader.text, reader.at, reader.at) == '.' and not take(reader, '^%.%d+') then
        bad_json(reader)
    end
    local letter = string.sub(reader.text, reader.at, reader.at)
    if (letter == 'e' or letter == 'E') and not take(reader, '^[eE][+-]?%d+') then
        bad_json(reader)
    end
    return string.sub(reader.text, first, reader.at - 1)
end

-- Whether a comma follows, and not the end.
local function more(reader: Reader, close: string): boolean
    return skip(reader, ',') or (not skip(reader, close) and bad_json(reader))
end

local read_members: (Reader, number) -> Object

-- `depth` counts the containers around the value.
local function read_value(reader: Reader, depth: number): Node
    local first = peek(reader)
    if first == '"' then
        return { scalar = read_string(reader) }
    elseif first ~= '{' and first ~= '[' then
        local word = WORDS[first]
        return { scalar = word and take(reader, word) or read_number(reader) }
    elseif depth == MAX_DEPTH then
        bad_json(reader, `JSON nested deeper than {MAX_DEPTH} levels`)
    end
    reader.at += 1
    if first == '{' then
        return { object = read_members(reader, depth + 1) }
    end
    local items: { Node } = {}
    if not skip(reader, ']') then
        repeat
            table.insert(items, read_value(reader, depth + 1))
        until not more(reader, ']')
    end
    return { items = items }
end

function read_members(reader: Reader, depth: number): Object
    local object: Object = { members = {}, texts = {}, names = {} }
    if skip(reader, '}') then
        return object
    end
    repeat
        local text = read_string(reader)
        local name = unquote(reader, text)
        if not skip(reader, ':') then
            bad_json(reader)
        elseif not object.members[name] then
            table.insert(object.names, name)
        end
        object.members[name] = read_value(reader, depth)
        object.texts[name] = text
    until not more(reader, '}')
    return object
end

-- The value that a text is, or nil and an error reply.
local function parse(text: string): (Node?, RedisError?)
    local reader = { text = text, at = 1 }
    local ok, result: any = pcall(function(): Node
        local node = read_value(reader, 0)
        return if peek(reader) == '' then node else bad_json(reader)
    end)
    if ok then
        return result, nil
    end
    return nil, redis.error_reply(if type(result) == 'table' then result.err else tostring(result))
end

-- Nodes to JSON ---------------------------------------------------------------

local function write_value(node: Node, parts: { string })
    if node.items then
        table.insert(parts, '[')
        for index, item in node.items do
            table.insert(parts, if index > 1 then ',' else '')
            write_value(item, parts)
        end
        table.insert(parts, ']')
    elseif node.object then
        table.insert(parts, '{')
        for index, name in node.object.names do
            table.insert(parts, if index > 1 then ',' else '')
            table.insert(parts, node.object.texts[name])
            table.insert(parts, ':')
            write_value(node.object.members[name], parts)
        end
        table.insert(parts, '}')
    else
        table.insert(parts, node.scalar or 'null')
    end
end

local function write(node: Node): string
    local parts: { string } = {}
    write_value(node, parts)
    return table.concat(parts)
end

-- Patches and pointers --------------------------------------------------------

-- The value that becomes of `target` (nil: nothing is there) by a patch.
local function merge(target: Node?, patch: Node): Node
    if not patch.object then
        return patch
    end
    local object: Object = if target and target.object then target.object else { members = {}, texts = {}, names = {} }
    for _, name in patch.object.names do
        local change = patch.object.members[name]
        local before: Node? = object.members[name]
        if change.scalar == 'null' then
            object.members[name] = nil
        else
            if not before then
                table.insert(object.names, name)
                object.texts[name] = patch.object.texts[name]
            end
            object.members[name] = merge(before, change)
        end
    end
    local names: { string } = {}
    for _, name in object.names do
        if object.members[name] then
            table.insert(names, name)
        end
    end
    object.names = names
    return { object = object }
end

-- The names and places that a pointer goes through, or nil if it is none.
local function path_of(pointer: string): { string }?
    if string.find(pointer, '^[^/]') or string.find(pointer, '~[^01]') or string.find(pointer, '~$') then
        return nil
    end
    local path: { string } = {}
    for part in string.gmatch(pointer, '/([^/]*)') do
        local slashes = string.gsub(part, '~1', '/')
        table.insert(path, (string.gsub(slashes, '~0', '~')))
    end
    return path
end

local function find(root: Node, path: { string }): Node?
    local node: Node? = root
    for _, part in path do
        if node and node.object then
            node = node.object.members[part]
        elseif node and node.items and (part == '0' or string.find(part, '^[1-9]%d*$')) then
            node = node.items[(tonumber(part) or 0) + 1]
        else
            return nil
        end
    end
    return node
end

-- Functions -------------------------------------------------------------------

-- The version and the text of what a key holds: 0 and nil if nothing.
local function stored(key: string): (number, string?)
    local fields: { any } = redis.call('HMGET', key, 'version', 'json')
    return tonumber(fields[1] or '0') or 0, fields[2] or nil
end

-- Why a document with this version may not be written, or nil.
local function conflict(version: number, expected: string?): RedisError?
    if not expected then
        return nil
    elseif not string.find(expected, '^%d+$') then
        return redis.error_reply('ERR version must be a whole number from 0')
    elseif tonumber(expected) ~= version then
        return redis.error_reply(`CONFLICT the document has version {version}`)
    end
    return nil
end

local function store(key: string, node: Node): number
    local version: number = redis.call('HINCRBY', key, 'version', 1)
    redis.call('HSET', key, 'json', write(node))
    return version
end

local function doc_set(keys: { string }, args: { string }): RedisError? | number
    if #keys ~= 1 or #args < 1 or #args > 2 then
        return redis.error_reply('ERR expected 1 key, json [version]')
    end
    local node, err = parse(args[1])
    if not node then
        return err
    end
    return conflict(stored(keys[1]), args[2]) or store(keys[1], node)
end

local function doc_patch(keys: { string }, args: { string }): RedisError? | number
    if #keys ~= 1 or #args < 1 or #args > 2 then
        return redis.error_reply('ERR expected 1 key, patch [version]')
    end
    local patch, err = parse(args[1])
    if not patch then
        return err
    end
    local version, text = stored(keys[1])
    local other = conflict(version, args[2])
    if other then
        return other
    end
    local document, damage = parse(text or '{}')
    return if document then store(keys[1], merge(document, patch)) else damage
end

local function doc_get(keys: { string }, args: { string }): RedisError? | { any }
    if #keys ~= 1 or #args > 1 then
        return redis.error_reply('ERR expected 1 key [pointer]')
    end
    local version, text = stored(keys[1])
    local path = path_of(args[1] or '')
    if not path then
        return redis.error_reply('ERR the pointer must be empty or begin with /, with ~0 for ~ and ~1 for / in names')
    elseif not text or #path == 0 then
        return if text then { version, text } :: { any } else nil
    end
    local document, damage = parse(text)
    if not document then
        return damage
    end
    local part = find(document, path)
    return if part then { version, write(part) } :: { any } else nil
end

redis.register_function({
    function_name = 'doc_set',
    callback = doc_set,
    description = 'Store a document: key, json [version]',
})

redis.register_function({
    function_name = 'doc_patch',
    callback = doc_patch,
    description = 'Change a document by a merge patch: key, patch [version]',
})

redis.register_function({
    function_name = 'doc_get',
    callback = doc_get,
    description = 'Read a document or a part of it: key [pointer]',
    flags = { 'no-writes' },
})
