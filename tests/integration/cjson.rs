//! Bodies of functions that use `cjson`, to be run by the server's own command and by the shadow's: the bytes of both
//! replies are equal. No object has two fields where its text is the reply: their order is the VM's own business.

use crate::support::library::{load, source};
use crate::support::{Server, Value};

/// What is compared. Each body leaves the settings as they are at first, because the server has one set of them for all
/// libraries.
pub const CASES: &[&str] = &[
    // Values.
    "return cjson.encode(nil)",
    "return cjson.encode(cjson.null)",
    "return cjson.encode(true)",
    "return cjson.encode({false})",
    "return cjson.encode({})",
    "return cjson.encode({{},{{}},{a={}}})",
    "return cjson.encode({1,2,3})",
    "return cjson.encode({a=1})",
    "return cjson.encode({a={b={c={1,2,{d='e'}}}}})",
    "return cjson.encode({['1']='x'})",
    "return cjson.encode({[1.5]=1})",
    "return cjson.encode({[0]=1})",
    "return cjson.encode({[-1]=1})",
    "return cjson.encode({[2^31]=1})",
    "return cjson.encode({[2^40]=1})",
    "return cjson.encode({[1e15]=1})",
    "return cjson.encode({[true]=1})",
    "return cjson.encode({[{}]=1})",
    "return cjson.encode({[cjson.null]=1})",
    "return cjson.encode({[1/0]=1})",
    "return cjson.encode({a=function() end})",
    "return cjson.encode(cjson.encode)",
    "return cjson.encode({coroutine.create(function() end)})",
    "return cjson.encode(setmetatable({},{__index=function() return 1 end}))",
    "return cjson.encode(setmetatable({1},{__len=function() return 5 end}))",
    "local t={} for i=1,1000 do t[i]=i end return cjson.encode(t)",
    "local t={} for i=1000,1,-1 do t[i]=i/8 end return cjson.encode(t)",
    "return #cjson.encode({a=1,b=2,c={1,2,x=3}})",
    "return cjson.encode()",
    "return cjson.encode(1,2)",
    "return {pcall(cjson.encode)}",
    "return {pcall(cjson.encode, function() end)}",
    // Numbers.
    "return cjson.encode({0,1,-1,1.5,-1.5,1/3,-1/3,2/3})",
    "return cjson.encode({1e13,99999999999999,1e14,1e15,1e100,-1e100,12345678901234567890})",
    "return cjson.encode({0.1,0.01,0.001,0.0001,0.00001,0.000001,1e-100,5e-324,2.2250738585072014e-308})",
    "return cjson.encode({2^31,2^53,2^53+1,2^63,2^64,1.7976931348623157e308})",
    "return cjson.encode({123456.789,0.30000000000000004,9.99999999999999,9.999999999999999,99999999999999.9})",
    "return cjson.encode(0*-1)",
    "return cjson.encode(0/0)",
    "return cjson.encode({1/0})",
    "return cjson.encode(-1/0)",
    // Strings.
    "return cjson.encode('')",
    "return cjson.encode('a\\n\\t\\r\\b\\f\"\\\\/\\0\\1\\31\\127\\128\\200\\255')",
    "local t={} for i=0,255 do t[#t+1]=string.char(i) end return cjson.encode(table.concat(t))",
    "return cjson.encode(('x'):rep(100000))",
    "return cjson.encode(('/'):rep(1000))",
    "return cjson.encode({['a\"/\\0']=1})",
    // Holes.
    "return cjson.encode({1,nil,3})",
    "return cjson.encode({[3]='x'})",
    "return cjson.encode({[10]='x'})",
    "return cjson.encode({[11]='x'})",
    "return cjson.encode({[1]=1,[20]=2})",
    "return cjson.encode({[1]=1,[2]=2,[3]=3,[4]=4,[5]=5,[6]=6,[12]=12})",
    "return cjson.encode({[1]=1,[2]=2,[3]=3,[4]=4,[5]=5,[6]=6,[13]=13})",
    "return cjson.encode({{[2^31-1]=1}})",
    "return cjson.encode({function() end,[50]=1})",
    // Nesting.
    "local t={} t[1]=t return cjson.encode(t)",
    "local t={} t.x=t return cjson.encode(t)",
    "local t='x' for i=1,1000 do t={t} end return cjson.encode(t)",
    "local t='x' for i=1,1001 do t={t} end return cjson.encode(t)",
    "local t='x' for i=1,1000 do t={a=t} end return cjson.encode(t)",
    "return cjson.decode(('['):rep(1000)..(']'):rep(1000)) and 1",
    "return cjson.decode(('['):rep(1001)..(']'):rep(1001)) and 1",
    "return cjson.decode(('{\"a\":'):rep(1000)..'1'..('}'):rep(1000)) and 1",
    "return cjson.decode(('{\"a\":'):rep(1001))",
    "local c=cjson.new() c.encode_max_depth(100000) local t='x' for i=1,100000 do t={t} end return c.encode(t)",
    "local c=cjson.new() c.encode_max_depth(100000) local t='x' for i=1,100000 do t={a=t} end return c.encode(t)",
    "local c=cjson.new() c.encode_max_depth(100000) local t='x' for i=1,7997 do t={t} end return #c.encode(t)",
    "local c=cjson.new() c.decode_max_depth(100000) return c.decode(('['):rep(100000))",
    "local c=cjson.new() c.decode_max_depth(100000) return c.decode(('{\"a\":'):rep(100000))",
    "local c=cjson.new() c.decode_max_depth(100000) return type(c.decode(('['):rep(7998)..(']'):rep(7998)))",
    // Texts.
    "return cjson.decode('[1,2,3]')",
    "return cjson.decode(' [ 1 ,\\t2\\r\\n, [ ] , { } ] ')",
    "return cjson.decode('{\"a\":1}').a",
    "return cjson.decode('{\"a\":1,\"b\":2,\"a\":3}').a",
    "local v=cjson.decode('{\"a\":{\"b\":[1,{\"c\":\"d\"}]}}') return v.a.b[2].c",
    "return cjson.decode('{\"1\":\"x\"}')[1]",
    "return cjson.decode('{\"1\":\"x\"}')['1']",
    "return cjson.decode('{\"\":1}')['']",
    "return cjson.decode('true')",
    "return cjson.decode('false')",
    "return cjson.decode('[null,true,false]')",
    "return cjson.decode('\"x\"')",
    "return cjson.decode('[1]\\0 anything')",
    "return cjson.decode('\"\\195\\169\\255\"')",
    "return cjson.decode('\"a\\nb\\tc\"')",
    "return cjson.decode(5)",
    "return cjson.decode(1.5)*2",
    "local t={} for i=1,1000 do t[i]=i end return cjson.decode(cjson.encode(t))",
    "local t={} for i=1,1000 do t['k'..i]=i end local v,n=cjson.decode(cjson.encode(t)),0 \
     for k,x in pairs(v) do assert(t[k]==x) n=n+1 end return n",
    // Numbers in texts.
    "return cjson.encode(cjson.decode('[0,-0,1,-1,1.5,1e2,1E2,1e+2,1e-2,0.1e1,1.e1,.5]'))",
    "return cjson.encode(cjson.decode('[1,-.5,1.]'))",
    "return cjson.encode(cjson.decode('[12345678901234567890,9007199254740993,1e22,1e23,4.9e-324]'))",
    "return cjson.decode('9007199254740993') == 2^53",
    "return cjson.decode('1e400') == 1/0",
    "return cjson.decode('-1e400') == -1/0",
    "return cjson.decode('0x10')",
    "return cjson.decode('-0x1F')",
    "return cjson.decode('0x1p4')",
    "return cjson.decode('01')",
    "return cjson.decode('+5')",
    "return cjson.decode('Infinity') == 1/0",
    "return cjson.decode('-inf') == -1/0",
    "local n=cjson.decode('NaN') return n ~= n",
    "local n=cjson.decode('[-nan,nan(1)]') return n[2] ~= n[2]",
    "return cjson.decode('-')",
    "return cjson.decode('+')",
    "return cjson.decode('--1')",
    "return cjson.decode('1e')",
    "return cjson.decode('1.5.5')",
    "return cjson.decode('0x')",
    // Escapes in texts.
    r#"return cjson.decode('"\\"\\\\\\/\\b\\f\\n\\r\\t"')"#,
    r#"return cjson.decode('"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\uFFFF"')"#,
    r#"return cjson.decode('"a\\u0000b"')"#,
    r#"return cjson.decode('"\\ud83d"')"#,
    r#"return cjson.decode('"\\ud83dx"')"#,
    r#"return cjson.decode('"\\ud83d\\u0041"')"#,
    r#"return cjson.decode('"\\ude00\\ud83d"')"#,
    r#"return cjson.decode('"\\u12"')"#,
    r#"return cjson.decode('"\\u12G4"')"#,
    r#"return cjson.decode('"ab\\x41"')"#,
    r#"return cjson.decode('"ab\\')"#,
    r#"return cjson.decode('{"a\\u0041":1}').aA"#,
    // Texts that are none.
    "return cjson.decode('')",
    "return cjson.decode(' ')",
    "return cjson.decode('\\0')",
    "return cjson.decode('\\0\\0')",
    "return cjson.decode('a\\0')",
    "return cjson.decode('{bad}')",
    "return cjson.decode('[1,2')",
    "return cjson.decode('[1,]')",
    "return cjson.decode('[,1]')",
    "return cjson.decode('[1 2]')",
    "return cjson.decode('[1}')",
    "return cjson.decode('[')",
    "return cjson.decode(']')",
    "return cjson.decode('{')",
    "return cjson.decode('{1:2}')",
    "return cjson.decode('{\"a\"}')",
    "return cjson.decode('{\"a\" 1}')",
    "return cjson.decode('{\"a\":}')",
    "return cjson.decode('{\"a\":1')",
    "return cjson.decode('{\"a\":1,}')",
    "return cjson.decode('{\"a\":1]')",
    "return cjson.decode('{\"a\":1 \"b\":2}')",
    "return cjson.decode('{null:1}')",
    "return cjson.decode(':')",
    "return cjson.decode(',')",
    "return cjson.decode('[1] x')",
    "return cjson.decode('[1] []')",
    "return cjson.decode('1 2')",
    "return cjson.decode('tru')",
    "return cjson.decode('truex')",
    "return cjson.decode('nul')",
    "return cjson.decode('True')",
    "return cjson.decode(\"'x'\")",
    "return cjson.decode('\"abc')",
    "return cjson.decode('\"a\\0b\"')",
    "return cjson.decode('[1,2\\v]')",
    "return cjson.decode('\\239\\187\\191[]')",
    "return cjson.decode({})",
    "return cjson.decode(nil)",
    "return cjson.decode(true)",
    "return cjson.decode(cjson.null)",
    "return cjson.decode()",
    "return cjson.decode('1','2')",
    "return {pcall(cjson.decode)}",
    "return {pcall(cjson.decode,'[')}",
    // Null.
    "return cjson.null",
    "return {cjson.null,1}",
    "return tostring(cjson.null)",
    "return type(cjson.null)",
    "return cjson.null == nil and 1 or 0",
    "return cjson.null and 1 or 0",
    "return cjson.decode('null') == cjson.null",
    "return rawequal(cjson.decode('[null]')[1], cjson.null)",
    "return cjson.encode(cjson.decode('[null,{\"a\":null}]'))",
    "return cjson.new().null == cjson.null",
    "return getmetatable(cjson.null) == nil",
    "local t={} t[cjson.null]=1 return t[cjson.decode('null')]",
    "return redis.call('set','k',cjson.null)",
    // The table.
    "return cjson._NAME..cjson._VERSION",
    "local t={} for k in pairs(cjson) do t[#t+1]=k end table.sort(t) return t",
    "local t={} for k in pairs(cjson.new()) do t[#t+1]=k end table.sort(t) return t",
    "return tostring(cjson.missing)",
    "cjson.x=1",
    "cjson.encode=nil",
    "local c=cjson.new() c.x=1 c.encode=nil return {c.x,tostring(c.encode),type(cjson.encode)}",
    "return cjson.new() == cjson.new()",
    "return cjson.new(1,2,3)._NAME",
    // Settings.
    "return cjson.encode_max_depth()",
    "return cjson.decode_max_depth()",
    "return {tostring(cjson.encode_sparse_array()),select(2,cjson.encode_sparse_array())}",
    "return cjson.encode_number_precision()",
    "return {tostring(cjson.encode_keep_buffer()),tostring(cjson.encode_invalid_numbers()),\
     tostring(cjson.decode_invalid_numbers())}",
    "local t={{{{{{1}}}}}} local r={pcall(cjson.encode,t)} cjson.encode_max_depth(5) \
     r[3]=select(2,pcall(cjson.encode,t)) cjson.encode_max_depth(1000) return r",
    "cjson.decode_max_depth(2) local ok,e=pcall(cjson.decode,'[[[1]]]') cjson.decode_max_depth(1000) return e",
    "cjson.encode_sparse_array(true) local r=cjson.encode({[1000]=2}) cjson.encode_sparse_array(false) return r",
    "cjson.encode_sparse_array(false,0) local r=cjson.encode({[30]=2}) cjson.encode_sparse_array(false,2) return r",
    "cjson.encode_sparse_array('on',2,1) local r=cjson.encode({[3]=2}) cjson.encode_sparse_array('off',2,10) return r",
    "cjson.encode_number_precision(3) local r=cjson.encode({1/3,1234,12345,0.00012345,100}) \
     cjson.encode_number_precision(14) return r",
    "cjson.encode_invalid_numbers(true) local r=cjson.encode({0/0,1/0,-1/0}) \
     cjson.encode_invalid_numbers(false) return r",
    "cjson.encode_invalid_numbers('null') local r=cjson.encode({0/0,1/0,-1/0}) \
     cjson.encode_invalid_numbers('off') return r",
    "local a=cjson.encode_invalid_numbers('null') local b=cjson.encode_invalid_numbers('on') \
     local c=cjson.encode_invalid_numbers('off') return {a,tostring(b),tostring(c)}",
    "cjson.decode_invalid_numbers(false) local r={} \
     for i,s in ipairs({'0x10','01','NaN','-inf','+5','inf','-','[1,1e400]'}) do \
     r[i]=tostring(select(2,pcall(cjson.decode,s))):sub(1,5) end \
     cjson.decode_invalid_numbers(true) return r",
    "local a=tostring(cjson.encode_keep_buffer(false)) local r=cjson.encode({1}) \
     cjson.encode_keep_buffer(true) return {a,r}",
    "return cjson.encode_max_depth(nil)",
    "return cjson.encode_max_depth(0)",
    "return cjson.encode_max_depth(-1)",
    "return cjson.encode_max_depth(2^31)",
    "return cjson.encode_max_depth('x')",
    "return cjson.encode_max_depth({})",
    "return cjson.encode_max_depth(1,2)",
    "return cjson.decode_max_depth(0)",
    "return cjson.decode_max_depth(true)",
    "return cjson.encode_number_precision(0)",
    "return cjson.encode_number_precision(15)",
    "return cjson.encode_number_precision(1,2)",
    "return cjson.encode_sparse_array('x')",
    "return cjson.encode_sparse_array({})",
    "return cjson.encode_sparse_array(false,-1)",
    "return cjson.encode_sparse_array(false,2,'x')",
    "return cjson.encode_sparse_array(false,2,10,1)",
    "return cjson.encode_keep_buffer('null')",
    "return cjson.encode_keep_buffer(1)",
    "return cjson.encode_keep_buffer(true,true)",
    "return cjson.encode_invalid_numbers('x\\0y')",
    "return cjson.encode_invalid_numbers(cjson.null)",
    "return cjson.decode_invalid_numbers('null')",
    "return cjson.decode_invalid_numbers(function() end)",
    // Arrays that are marked, from Redis 8.4 on. Elsewhere the field is missing, and the mark is a field like others.
    "return tostring(cjson.decode_array_with_array_mt)=='nil'",
    "local set=cjson.decode_array_with_array_mt if not set then return 'none' end \
     return {tostring(set()),tostring(set(true)),tostring(set('off')),tostring(set(nil)),\
     tostring(set('on')),tostring(set(false))}",
    "if not cjson.decode_array_with_array_mt then return 'none' end return cjson.decode_array_with_array_mt('null')",
    "if not cjson.decode_array_with_array_mt then return 'none' end return cjson.decode_array_with_array_mt(1)",
    "if not cjson.decode_array_with_array_mt then return 'none' end return cjson.decode_array_with_array_mt({})",
    "if not cjson.decode_array_with_array_mt then return 'none' end return cjson.decode_array_with_array_mt(true,true)",
    "local c=cjson.new() if not c.decode_array_with_array_mt then return 'none' end c.decode_array_with_array_mt(true) \
     local r={} for i,s in ipairs({'[]','{}','[[],{},[{}]]','{\"a\":[]}','[1,null,[2]]','[[[[]]]]','[1,'}) do \
     local ok,v=pcall(c.decode,s) r[i]=ok and cjson.encode(v) or v end return r",
    "local set=cjson.decode_array_with_array_mt if not set then return 'none' end set(true) \
     local a=cjson.decode('[]') set(false) local b=cjson.decode('[]') \
     return {cjson.encode(a),cjson.encode(b),cjson.encode({a}),cjson.new().encode(a)}",
    "local c=cjson.new() if not c.decode_array_with_array_mt then return 'none' end c.decode_array_with_array_mt(true) \
     local a,o=c.decode('[[],[1]]'),c.decode('{\"a\":1}') local m=getmetatable(a) \
     local k={} for n,v in pairs(m) do k[#k+1]=n..tostring(v) end \
     k[#k+1]=tostring(getmetatable(o)) k[#k+1]=tostring(rawequal(m,getmetatable(a[1]))) \
     k[#k+1]=tostring(pcall(rawset,m,'x',1)) \
     setmetatable(a[1],nil) a[3]=7 k[#k+1]=c.encode(a) a.x=1 k[#k+1]=c.encode(a) \
     a[1]=nil a[2]=nil a[3]=nil k[#k+1]=c.encode(a) return k",
    "local c=cjson.new() if not c.decode_array_with_array_mt then return 'none' end c.decode_array_with_array_mt(true) \
     local t={} for i=1,600 do t[i]=i end local s=c.encode(t) return c.encode(c.decode(s))==s",
    "return cjson.encode(setmetatable({},{__is_cjson_array=true}))",
    "return cjson.encode(setmetatable({},{__is_cjson_array=1}))",
    "return cjson.encode(setmetatable({},{__is_cjson_array=false}))",
    "return cjson.encode({setmetatable({a=1},{__is_cjson_array=true})})",
    "return cjson.encode(setmetatable({1,2,x=3},{__is_cjson_array=true}))",
    "return cjson.encode(setmetatable({[2]=1,[100]=1},{__is_cjson_array=true}))",
    "return cjson.encode(setmetatable({},setmetatable({},{__index={__is_cjson_array=true}})))",
    "return cjson.encode(setmetatable({},setmetatable({},{__index=function(t,k) return k end})))",
    "return cjson.encode(setmetatable({},setmetatable({},\
     {__index=function(t,k) return cjson.new().encode({1})=='' end})))",
    "return {pcall(cjson.encode,setmetatable({},setmetatable({},\
     {__index=function(t,k) return error({err='MINE x'}) end})))}",
    "return cjson.encode(setmetatable({},{__is_cjson_array=true,__len=function() return 3 end}))",
    "return cjson.encode(setmetatable({},{__is_cjson_array=true,__metatable='locked'}))",
    "local a=setmetatable({},{__is_cjson_array=true}) a[1]=a return cjson.encode(a)",
    "local c=cjson.new() c.encode_max_depth(100000) local m={__is_cjson_array=true} local t=setmetatable({},m) \
     for i=1,7997 do t=setmetatable({t},m) end return #c.encode(t)",
    "local c=cjson.new() c.encode_max_depth(100000) local m={__is_cjson_array=true} local t=setmetatable({},m) \
     for i=1,9000 do t=setmetatable({t},m) end return #c.encode(t)",
    "local c=cjson.new() c.decode_max_depth(100000) \
     if c.decode_array_with_array_mt then c.decode_array_with_array_mt(true) end \
     local r={} for _,n in ipairs{7990,7996,7997,7998,7999,8000} do local ok,v=pcall(c.decode,('['):rep(n)..(']'):rep(n)) \
     r[#r+1]=ok and 'fine' or v end return r",
    "local c=cjson.new() c.encode_max_depth(1) \
     return {c.encode_max_depth(),cjson.encode_max_depth(),c.new().encode_max_depth()}",
    "local c=cjson.new() c.encode_max_depth('7') c.decode_max_depth(2.9) c.encode_number_precision('0x3') \
     return {c.encode_max_depth(),c.decode_max_depth(),c.encode_number_precision()}",
];

/// Two libraries: what the first sets is not seen by the second. (In the server it is.)
pub const SETS: &str = "return cjson.encode_max_depth(2)";
/// Run in either library after `SETS` ran in the first: 2 there and 1000 in the other.
pub const READS: &[&str] = &[
    "return cjson.encode_max_depth()",
    "return loadstring('return cjson.encode_max_depth()')()",
    "return coroutine.wrap(function() return cjson.encode_max_depth() end)()",
    "return select(2,pcall(cjson.encode_max_depth))",
];

#[test]
fn what_one_library_sets_another_does_not_see() {
    let server = Server::start();
    let mut client = server.client();
    for (position, body) in READS.iter().enumerate() {
        let library = |name: &str| {
            source(
                name,
                &format!(
                    "redis.register_function('{name}_set', function() {SETS} end) redis.register_function('{name}', function() {body} end)"
                ),
            )
        };
        let [first, second] = [format!("a{position}"), format!("b{position}")];
        load(&mut client, &library(&first));
        load(&mut client, &library(&second));
        assert_eq!(client.run(&format!("SHADOW.FCALL {first}_set 0")), Value::Integer(2));
        assert_eq!(client.run(&format!("SHADOW.FCALL {first} 0")), Value::Integer(2), "{body}");
        assert_eq!(client.run(&format!("SHADOW.FCALL {second} 0")), Value::Integer(1000), "{body}");
    }
}
