//! The table of all commands.
//!
//! Columns: variant, name, arity, how it is run, flags, keys, the version of Redis that brought it
//! (of ours for TX), whether it works as there, summary.

use super::{
    APART, AT_ONCE, CONTAINER, Class, FAST, Group, Keys, NO_AUTH, NO_MULTI, READS, Row, SUBSCRIBED,
    Support,
};

/// The first argument.
const K1: Keys = range(1, 1, 1);
/// The first two arguments.
const K2: Keys = range(1, 2, 1);
/// All arguments.
const ALL: Keys = range(1, -1, 1);
/// All arguments but the last one.
const ALL_BUT_ONE: Keys = range(1, -2, 1);
/// Every other argument.
const PAIRS: Keys = range(1, -1, 2);
/// The first argument of a subcommand.
const SECOND: Keys = range(2, 2, 1);
/// All arguments but the first one.
const BITOP: Keys = range(2, -1, 1);
/// Behind their number, which is the first argument.
const COUNT_1: Keys = counted(1, false);
/// Behind their number, which is the second argument.
const COUNT_2: Keys = counted(2, false);
/// The first argument, and those behind their number.
const TARGET: Keys = counted(2, true);

const fn range(first: usize, last: i8, step: usize) -> Keys {
    Keys::Range { first, last, step }
}

const fn counted(at: usize, target: bool) -> Keys {
    Keys::Counted { at, target }
}

macro_rules! commands {
    ($($group:ident {$(
        $command:ident $name:literal $arity:literal $class:ident [$($flag:ident)*] $keys:expr,
        $since:literal, $support:expr, $summary:literal;
    )+})+) => {
        /// Every command and subcommand.
        #[expect(clippy::enum_variant_names, reason = "Redis has a command of that name")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Command {
            $($($command,)+)+
        }

        /// One row per command, in the order of [`Command`].
        pub(crate) static ROWS: &[Row] = &[$($(
            Row {
                command: Command::$command,
                name: $name,
                group: Group::$group,
                arity: $arity,
                class: Class::$class,
                flags: 0 $(| $flag)*,
                keys: $keys,
                since: $since,
                support: $support,
                summary: $summary,
            },
        )+)+];
    };
}

use Support::{No, Partly, Yes};

commands! {
    Strings {
        Append "append" 3 Write [FAST] K1, "2.0.0", Yes, "Appends a string to the value of a key; creates the key if there is none.";
        Decr "decr" 2 Write [FAST] K1, "1.0.0", Yes, "Decrements the integer value of a key by one.";
        Decrby "decrby" 3 Write [FAST] K1, "1.0.0", Yes, "Decrements the integer value of a key by a number.";
        Get "get" 2 Read [FAST] K1, "1.0.0", Yes, "Returns the string value of a key.";
        Getdel "getdel" 2 Write [FAST] K1, "6.2.0", Yes, "Returns the string value of a key and deletes the key.";
        Getex "getex" -2 Write [FAST] K1, "6.2.0", Yes, "Returns the string value of a key and sets its expiration time.";
        Getrange "getrange" 4 Read [] K1, "2.4.0", Yes, "Returns a part of the string value of a key.";
        Getset "getset" 3 Write [FAST] K1, "1.0.0", Yes, "Sets a key to a new value and returns the old one.";
        Incr "incr" 2 Write [FAST] K1, "1.0.0", Yes, "Increments the integer value of a key by one.";
        Incrby "incrby" 3 Write [FAST] K1, "1.0.0", Yes, "Increments the integer value of a key by a number.";
        Incrbyfloat "incrbyfloat" 3 Write [FAST] K1, "2.6.0", Yes, "Increments the floating-point value of a key by a number.";
        Lcs "lcs" -3 Read [] K2, "7.0.0", Partly("the product of both lengths is bounded"), "Finds the longest common subsequence of two strings.";
        Mget "mget" -2 Read [FAST] ALL, "1.0.0", Yes, "Returns the string values of several keys.";
        Mset "mset" -3 Write [] PAIRS, "1.0.1", Yes, "Sets several keys.";
        Msetnx "msetnx" -3 Write [] PAIRS, "1.0.1", Yes, "Sets several keys if none of them exists.";
        Psetex "psetex" 4 Write [] K1, "2.6.0", Yes, "Sets a key and its expiration time in milliseconds.";
        Set "set" -3 Write [] K1, "1.0.0", Yes, "Sets the string value of a key, whatever its type was.";
        Setex "setex" 4 Write [] K1, "2.0.0", Yes, "Sets a key and its expiration time in seconds.";
        Setnx "setnx" 3 Write [FAST] K1, "1.0.0", Yes, "Sets a key if it does not exist.";
        Setrange "setrange" 4 Write [] K1, "2.2.0", Yes, "Overwrites a part of a string value from an offset on.";
        Strlen "strlen" 2 Read [FAST] K1, "2.2.0", Yes, "Returns the length of a string value in bytes.";
        Substr "substr" 4 Read [] K1, "1.0.0", Yes, "Returns a part of a string value (GETRANGE).";
    }
    Generic {
        Copy "copy" -3 Write [] K2, "6.2.0", Yes, "Copies the value of a key to another key.";
        Del "del" -2 Write [] ALL, "1.0.0", Yes, "Deletes keys.";
        Dump "dump" 2 Refused [] K1, "2.6.0", No("the format is Redis's own"), "Returns a serialized value.";
        Exists "exists" -2 Read [FAST] ALL, "1.0.0", Yes, "Counts the keys that exist.";
        Expire "expire" -3 Write [FAST] K1, "1.0.0", Yes, "Sets the expiration time of a key in seconds.";
        Expireat "expireat" -3 Write [FAST] K1, "1.2.0", Yes, "Sets the expiration time of a key to a Unix time.";
        Expiretime "expiretime" 2 Read [FAST] K1, "7.0.0", Yes, "Returns the expiration time of a key as a Unix time.";
        Keys "keys" 2 Read [] Keys::None, "1.0.0", Yes, "Returns all keys that match a pattern.";
        Migrate "migrate" -6 Refused [] Keys::None, "2.6.0", No("the format is Redis's own"), "Moves keys to another server.";
        Move "move" 3 Write [FAST] K1, "1.0.0", Yes, "Moves a key to another database.";
        Object "object" -2 Read [CONTAINER] Keys::None, "2.2.3", Yes, "Looks into how values are kept.";
        ObjectEncoding "object|encoding" 3 Read [] SECOND, "2.2.3", Yes, "Returns the name of the encoding that Redis would use for a value.";
        ObjectFreq "object|freq" 3 Refused [] SECOND, "4.0.0", No("accesses are not counted"), "Returns the access frequency of a key.";
        ObjectHelp "object|help" 2 Local [APART] Keys::None, "6.2.0", Yes, "Returns what subcommands there are.";
        ObjectIdletime "object|idletime" 3 Read [] SECOND, "2.2.3", Partly("accesses are not recorded, the answer is 0"), "Returns the time since the last access to a key.";
        ObjectRefcount "object|refcount" 3 Read [] SECOND, "2.2.3", Yes, "Returns the reference count of a value, which is 1.";
        Persist "persist" 2 Write [FAST] K1, "2.2.0", Yes, "Removes the expiration time of a key.";
        Pexpire "pexpire" -3 Write [FAST] K1, "2.6.0", Yes, "Sets the expiration time of a key in milliseconds.";
        Pexpireat "pexpireat" -3 Write [FAST] K1, "2.6.0", Yes, "Sets the expiration time of a key to a Unix time in milliseconds.";
        Pexpiretime "pexpiretime" 2 Read [FAST] K1, "7.0.0", Yes, "Returns the expiration time of a key as a Unix time in milliseconds.";
        Pttl "pttl" 2 Read [FAST] K1, "2.6.0", Yes, "Returns the time to live of a key in milliseconds.";
        Randomkey "randomkey" 1 Read [] Keys::None, "1.0.0", Yes, "Returns some key.";
        Rename "rename" 3 Write [] K2, "1.0.0", Yes, "Renames a key and overwrites the destination.";
        Renamenx "renamenx" 3 Write [FAST] K2, "1.0.0", Yes, "Renames a key if the new name does not exist.";
        Restore "restore" -4 Refused [] K1, "2.6.0", No("the format is Redis's own"), "Creates a key from a serialized value.";
        Scan "scan" -2 Read [] Keys::None, "2.8.0", Partly("a cursor is good for as long as the server runs, and while it is among the last 16,384 of its database"), "Goes through the keys of the database.";
        Sort "sort" -2 Write [] Keys::Store, "1.0.0", Yes, "Sorts the elements of a list, a set or a sorted set.";
        SortRo "sort_ro" -2 Read [] K1, "7.0.0", Yes, "Sorts the elements of a list, a set or a sorted set without storing them.";
        Touch "touch" -2 Read [FAST] ALL, "3.2.1", Yes, "Counts the keys that exist; last access times are not kept.";
        Ttl "ttl" 2 Read [FAST] K1, "1.0.0", Yes, "Returns the time to live of a key in seconds.";
        Type "type" 2 Read [FAST] K1, "1.0.0", Yes, "Returns the type of a key's value.";
        Unlink "unlink" -2 Write [FAST] ALL, "4.0.0", Yes, "Deletes keys.";
        Wait "wait" 3 Local [] Keys::None, "3.0.0", Yes, "Returns the number of replicas that have the connection's writes, which is 0.";
        Waitaof "waitaof" 4 Local [] Keys::None, "7.2.0", Partly("a commit is on disk before it is answered, so the answer is 1 and 0 at once"), "Waits until the connection's writes are on disk.";
    }
    Hashes {
        Hdel "hdel" -3 Write [FAST] K1, "2.0.0", Yes, "Deletes fields and their values from a hash.";
        Hexists "hexists" 3 Read [FAST] K1, "2.0.0", Yes, "Tells whether a field exists in a hash.";
        Hget "hget" 3 Read [FAST] K1, "2.0.0", Yes, "Returns the value of a field in a hash.";
        Hgetall "hgetall" 2 Read [] K1, "2.0.0", Yes, "Returns all fields and values of a hash.";
        Hincrby "hincrby" 4 Write [FAST] K1, "2.0.0", Yes, "Increments the integer value of a field in a hash.";
        Hincrbyfloat "hincrbyfloat" 4 Write [FAST] K1, "2.6.0", Yes, "Increments the floating-point value of a field in a hash.";
        Hkeys "hkeys" 2 Read [] K1, "2.0.0", Yes, "Returns all fields of a hash.";
        Hlen "hlen" 2 Read [FAST] K1, "2.0.0", Yes, "Returns the number of fields in a hash.";
        Hmget "hmget" -3 Read [FAST] K1, "2.0.0", Yes, "Returns the values of several fields in a hash.";
        Hmset "hmset" -4 Write [FAST] K1, "2.0.0", Yes, "Sets the values of several fields in a hash.";
        Hrandfield "hrandfield" -2 Read [] K1, "6.2.0", Yes, "Returns random fields of a hash.";
        Hscan "hscan" -3 Read [] K1, "2.8.0", Yes, "Goes through the fields and values of a hash.";
        Hset "hset" -4 Write [FAST] K1, "2.0.0", Yes, "Sets fields in a hash.";
        Hsetnx "hsetnx" 4 Write [FAST] K1, "2.0.0", Yes, "Sets a field in a hash if it does not exist.";
        Hstrlen "hstrlen" 3 Read [FAST] K1, "3.2.0", Yes, "Returns the length of a field's value in a hash.";
        Hvals "hvals" 2 Read [] K1, "2.0.0", Yes, "Returns all values of a hash.";
    }
    Lists {
        Blmove "blmove" 6 Block [] K2, "6.2.0", Yes, "Moves an item from one list to another; waits until there is one.";
        Blmpop "blmpop" -5 Block [] COUNT_2, "7.0.0", Yes, "Pops items from the first list that has some; waits until there are some.";
        Blpop "blpop" -3 Block [] ALL_BUT_ONE, "2.0.0", Yes, "Pops the head of the first list that has items; waits until there is one.";
        Brpop "brpop" -3 Block [] ALL_BUT_ONE, "2.0.0", Yes, "Pops the tail of the first list that has items; waits until there is one.";
        Brpoplpush "brpoplpush" 4 Block [] K2, "2.2.0", Yes, "Moves the tail of a list to the head of another; waits until there is one.";
        Lindex "lindex" 3 Read [] K1, "1.0.0", Yes, "Returns an item of a list by its index.";
        Linsert "linsert" 5 Write [] K1, "2.2.0", Yes, "Inserts an item before or after another one.";
        Llen "llen" 2 Read [FAST] K1, "1.0.0", Yes, "Returns the length of a list.";
        Lmove "lmove" 5 Write [] K2, "6.2.0", Yes, "Moves an item from one list to another.";
        Lmpop "lmpop" -4 Write [] COUNT_1, "7.0.0", Yes, "Pops items from the first list that has some.";
        Lpop "lpop" -2 Write [FAST] K1, "1.0.0", Yes, "Pops items from the head of a list.";
        Lpos "lpos" -3 Read [] K1, "6.0.6", Yes, "Returns the indexes of an item in a list.";
        Lpush "lpush" -3 Write [FAST] K1, "1.0.0", Yes, "Pushes items to the head of a list.";
        Lpushx "lpushx" -3 Write [FAST] K1, "2.2.0", Yes, "Pushes items to the head of a list that exists.";
        Lrange "lrange" 4 Read [] K1, "1.0.0", Yes, "Returns a part of a list.";
        Lrem "lrem" 4 Write [] K1, "1.0.0", Yes, "Removes items equal to a value.";
        Lset "lset" 4 Write [] K1, "1.0.0", Yes, "Replaces the item at an index.";
        Ltrim "ltrim" 4 Write [] K1, "1.0.0", Yes, "Keeps only a part of a list.";
        Rpop "rpop" -2 Write [FAST] K1, "1.0.0", Yes, "Pops items from the tail of a list.";
        Rpoplpush "rpoplpush" 3 Write [] K2, "1.2.0", Yes, "Moves the tail of a list to the head of another.";
        Rpush "rpush" -3 Write [FAST] K1, "1.0.0", Yes, "Pushes items to the tail of a list.";
        Rpushx "rpushx" -3 Write [FAST] K1, "2.2.0", Yes, "Pushes items to the tail of a list that exists.";
    }
    Sets {
        Sadd "sadd" -3 Write [FAST] K1, "1.0.0", Yes, "Adds members to a set.";
        Scard "scard" 2 Read [FAST] K1, "1.0.0", Yes, "Returns the number of members of a set.";
        Sdiff "sdiff" -2 Read [] ALL, "1.0.0", Yes, "Returns the difference of sets.";
        Sdiffstore "sdiffstore" -3 Write [] ALL, "1.0.0", Yes, "Stores the difference of sets.";
        Sinter "sinter" -2 Read [] ALL, "1.0.0", Yes, "Returns the intersection of sets.";
        Sintercard "sintercard" -3 Read [] COUNT_1, "7.0.0", Yes, "Returns the number of members of an intersection of sets.";
        Sinterstore "sinterstore" -3 Write [] ALL, "1.0.0", Yes, "Stores the intersection of sets.";
        Sismember "sismember" 3 Read [FAST] K1, "1.0.0", Yes, "Tells whether a set has a member.";
        Smembers "smembers" 2 Read [] K1, "1.0.0", Yes, "Returns all members of a set.";
        Smismember "smismember" -3 Read [FAST] K1, "6.2.0", Yes, "Tells whether a set has several members.";
        Smove "smove" 4 Write [FAST] K2, "1.0.0", Yes, "Moves a member from one set to another.";
        Spop "spop" -2 Write [FAST] K1, "1.0.0", Yes, "Removes random members of a set and returns them.";
        Srandmember "srandmember" -2 Read [] K1, "1.0.0", Yes, "Returns random members of a set.";
        Srem "srem" -3 Write [FAST] K1, "1.0.0", Yes, "Removes members from a set.";
        Sscan "sscan" -3 Read [] K1, "2.8.0", Yes, "Goes through the members of a set.";
        Sunion "sunion" -2 Read [] ALL, "1.0.0", Yes, "Returns the union of sets.";
        Sunionstore "sunionstore" -3 Write [] ALL, "1.0.0", Yes, "Stores the union of sets.";
    }
    SortedSets {
        Bzmpop "bzmpop" -5 Block [] COUNT_2, "7.0.0", Yes, "Pops members from the first sorted set that has some; waits until there are some.";
        Bzpopmax "bzpopmax" -3 Block [FAST] ALL_BUT_ONE, "5.0.0", Yes, "Pops the member of the highest score; waits until there is one.";
        Bzpopmin "bzpopmin" -3 Block [FAST] ALL_BUT_ONE, "5.0.0", Yes, "Pops the member of the lowest score; waits until there is one.";
        Zadd "zadd" -4 Write [FAST] K1, "1.2.0", Yes, "Adds members to a sorted set, or changes their scores.";
        Zcard "zcard" 2 Read [FAST] K1, "1.2.0", Yes, "Returns the number of members of a sorted set.";
        Zcount "zcount" 4 Read [FAST] K1, "2.0.0", Yes, "Counts the members with scores within a range.";
        Zdiff "zdiff" -3 Read [] COUNT_1, "6.2.0", Yes, "Returns the difference of sorted sets.";
        Zdiffstore "zdiffstore" -4 Write [] TARGET, "6.2.0", Yes, "Stores the difference of sorted sets.";
        Zincrby "zincrby" 4 Write [FAST] K1, "1.2.0", Yes, "Increments the score of a member.";
        Zinter "zinter" -3 Read [] COUNT_1, "6.2.0", Yes, "Returns the intersection of sorted sets.";
        Zintercard "zintercard" -3 Read [] COUNT_1, "7.0.0", Yes, "Returns the number of members of an intersection of sorted sets.";
        Zinterstore "zinterstore" -4 Write [] TARGET, "2.0.0", Yes, "Stores the intersection of sorted sets.";
        Zlexcount "zlexcount" 4 Read [FAST] K1, "2.8.9", Yes, "Counts the members within a range of names.";
        Zmpop "zmpop" -4 Write [] COUNT_1, "7.0.0", Yes, "Pops members from the first sorted set that has some.";
        Zmscore "zmscore" -3 Read [FAST] K1, "6.2.0", Yes, "Returns the scores of several members.";
        Zpopmax "zpopmax" -2 Write [FAST] K1, "5.0.0", Yes, "Pops the members of the highest scores.";
        Zpopmin "zpopmin" -2 Write [FAST] K1, "5.0.0", Yes, "Pops the members of the lowest scores.";
        Zrandmember "zrandmember" -2 Read [] K1, "6.2.0", Yes, "Returns random members of a sorted set.";
        Zrange "zrange" -4 Read [] K1, "1.2.0", Yes, "Returns members within a range of ranks, scores or names.";
        Zrangebylex "zrangebylex" -4 Read [] K1, "2.8.9", Yes, "Returns members within a range of names.";
        Zrangebyscore "zrangebyscore" -4 Read [] K1, "1.0.5", Yes, "Returns members with scores within a range.";
        Zrangestore "zrangestore" -5 Write [] K2, "6.2.0", Yes, "Stores a range of a sorted set.";
        Zrank "zrank" -3 Read [FAST] K1, "2.0.0", Yes, "Returns the rank of a member, lowest scores first.";
        Zrem "zrem" -3 Write [FAST] K1, "1.2.0", Yes, "Removes members from a sorted set.";
        Zremrangebylex "zremrangebylex" 4 Write [] K1, "2.8.9", Yes, "Removes members within a range of names.";
        Zremrangebyrank "zremrangebyrank" 4 Write [] K1, "2.0.0", Yes, "Removes members within a range of ranks.";
        Zremrangebyscore "zremrangebyscore" 4 Write [] K1, "1.2.0", Yes, "Removes members with scores within a range.";
        Zrevrange "zrevrange" -4 Read [] K1, "1.2.0", Yes, "Returns members within a range of ranks, highest scores first.";
        Zrevrangebylex "zrevrangebylex" -4 Read [] K1, "2.8.9", Yes, "Returns members within a range of names, last names first.";
        Zrevrangebyscore "zrevrangebyscore" -4 Read [] K1, "2.2.0", Yes, "Returns members with scores within a range, highest scores first.";
        Zrevrank "zrevrank" -3 Read [FAST] K1, "2.0.0", Yes, "Returns the rank of a member, highest scores first.";
        Zscan "zscan" -3 Read [] K1, "2.8.0", Yes, "Goes through the members and scores of a sorted set.";
        Zscore "zscore" 3 Read [FAST] K1, "1.2.0", Yes, "Returns the score of a member.";
        Zunion "zunion" -3 Read [] COUNT_1, "6.2.0", Yes, "Returns the union of sorted sets.";
        Zunionstore "zunionstore" -4 Write [] TARGET, "2.0.0", Yes, "Stores the union of sorted sets.";
    }
    Bitmaps {
        Bitcount "bitcount" -2 Read [] K1, "2.6.0", Yes, "Counts the bits that are set in a string.";
        Bitfield "bitfield" -2 Write [] K1, "3.2.0", Yes, "Reads and writes integers of any width within a string.";
        BitfieldRo "bitfield_ro" -2 Read [FAST] K1, "6.0.0", Yes, "Reads integers of any width within a string.";
        Bitop "bitop" -4 Write [] BITOP, "2.6.0", Yes, "Combines strings bit by bit and stores the result.";
        Bitpos "bitpos" -3 Read [] K1, "2.8.7", Yes, "Finds the first bit that is set, or clear.";
        Getbit "getbit" 3 Read [FAST] K1, "2.2.0", Yes, "Returns a bit by its offset.";
        Setbit "setbit" 4 Write [] K1, "2.2.0", Yes, "Sets or clears a bit by its offset.";
    }
    HyperLogLogs {
        Pfadd "pfadd" -2 Write [FAST] K1, "2.8.9", Yes, "Adds elements to a HyperLogLog.";
        Pfcount "pfcount" -2 Read [] ALL, "2.8.9", Yes, "Estimates the number of distinct elements.";
        Pfdebug "pfdebug" -3 Refused [] Keys::None, "2.8.9", No("for developers of Redis"), "Looks into a HyperLogLog.";
        Pfmerge "pfmerge" -2 Write [] ALL, "2.8.9", Yes, "Merges HyperLogLogs.";
        Pfselftest "pfselftest" 1 Refused [] Keys::None, "2.8.9", No("for developers of Redis"), "Tests the implementation.";
    }
    Geo {
        Geoadd "geoadd" -5 Write [] K1, "3.2.0", Yes, "Adds positions to a geospatial index.";
        Geodist "geodist" -4 Read [] K1, "3.2.0", Yes, "Returns the distance between two members.";
        Geohash "geohash" -2 Read [] K1, "3.2.0", Yes, "Returns positions as geohash strings.";
        Geopos "geopos" -2 Read [] K1, "3.2.0", Yes, "Returns the positions of members.";
        Georadius "georadius" -6 Write [] Keys::Store, "3.2.0", Yes, "Finds members within a distance of a position.";
        GeoradiusRo "georadius_ro" -6 Read [] K1, "3.2.10", Yes, "Finds members within a distance of a position, without storing them.";
        Georadiusbymember "georadiusbymember" -5 Write [] Keys::Store, "3.2.0", Yes, "Finds members within a distance of a member.";
        GeoradiusbymemberRo "georadiusbymember_ro" -5 Read [] K1, "3.2.10", Yes, "Finds members within a distance of a member, without storing them.";
        Geosearch "geosearch" -7 Read [] K1, "6.2.0", Yes, "Finds members within a circle or a box.";
        Geosearchstore "geosearchstore" -8 Write [] K2, "6.2.0", Yes, "Stores members within a circle or a box.";
    }
    Streams {
        Xack "xack" -4 Write [FAST] K1, "5.0.0", Yes, "Acknowledges entries of a consumer group.";
        Xadd "xadd" -5 Write [FAST] K1, "5.0.0", Yes, "Appends an entry to a stream.";
        Xautoclaim "xautoclaim" -6 Write [FAST] K1, "6.2.0", Yes, "Takes over pending entries of other consumers that have been idle.";
        Xclaim "xclaim" -6 Write [FAST] K1, "5.0.0", Yes, "Takes over pending entries by their ids.";
        Xdel "xdel" -3 Write [FAST] K1, "5.0.0", Yes, "Removes entries from a stream.";
        Xgroup "xgroup" -2 Write [CONTAINER] Keys::None, "5.0.0", Yes, "Manages consumer groups.";
        XgroupCreate "xgroup|create" -5 Write [] SECOND, "5.0.0", Yes, "Creates a consumer group.";
        XgroupCreateconsumer "xgroup|createconsumer" 5 Write [] SECOND, "6.2.0", Yes, "Creates a consumer in a group.";
        XgroupDelconsumer "xgroup|delconsumer" 5 Write [] SECOND, "5.0.0", Yes, "Deletes a consumer from a group.";
        XgroupDestroy "xgroup|destroy" 4 Write [] SECOND, "5.0.0", Yes, "Destroys a consumer group.";
        XgroupHelp "xgroup|help" 2 Local [APART] Keys::None, "5.0.0", Yes, "Returns what subcommands there are.";
        XgroupSetid "xgroup|setid" -5 Write [] SECOND, "5.0.0", Yes, "Sets the last delivered id of a group.";
        Xinfo "xinfo" -2 Read [CONTAINER] Keys::None, "5.0.0", Yes, "Looks into streams.";
        XinfoConsumers "xinfo|consumers" 4 Read [] SECOND, "5.0.0", Yes, "Returns the consumers of a group.";
        XinfoGroups "xinfo|groups" 3 Read [] SECOND, "5.0.0", Yes, "Returns the groups of a stream.";
        XinfoHelp "xinfo|help" 2 Local [APART] Keys::None, "5.0.0", Yes, "Returns what subcommands there are.";
        XinfoStream "xinfo|stream" -3 Read [] SECOND, "5.0.0", Yes, "Returns facts about a stream.";
        Xlen "xlen" 2 Read [FAST] K1, "5.0.0", Yes, "Returns the number of entries in a stream.";
        Xpending "xpending" -3 Read [] K1, "5.0.0", Yes, "Returns the pending entries of a group.";
        Xrange "xrange" -4 Read [] K1, "5.0.0", Yes, "Returns entries within a range of ids.";
        Xread "xread" -4 Block [READS] Keys::Streams, "5.0.0", Yes, "Returns entries of streams behind given ids; may wait for them.";
        Xreadgroup "xreadgroup" -7 Block [] Keys::Streams, "5.0.0", Yes, "Returns entries of streams to a consumer of a group; may wait for them.";
        Xrevrange "xrevrange" -4 Read [] K1, "5.0.0", Yes, "Returns entries within a range of ids, newest first.";
        Xsetid "xsetid" -3 Write [FAST] K1, "5.0.0", Yes, "Sets the last id of a stream.";
        Xtrim "xtrim" -4 Write [] K1, "5.0.0", Yes, "Removes the oldest entries of a stream.";
    }
    PubSub {
        Psubscribe "psubscribe" -2 Local [SUBSCRIBED NO_MULTI] Keys::None, "2.0.0", Yes, "Listens to channels that match patterns.";
        Publish "publish" 3 Local [FAST] Keys::None, "2.0.0", Yes, "Posts a message to a channel.";
        Pubsub "pubsub" -2 Local [CONTAINER] Keys::None, "2.8.0", Yes, "Looks into publish and subscribe.";
        PubsubChannels "pubsub|channels" -2 Local [] Keys::None, "2.8.0", Yes, "Returns the channels that have subscribers.";
        PubsubHelp "pubsub|help" 2 Local [APART] Keys::None, "6.2.0", Yes, "Returns what subcommands there are.";
        PubsubNumpat "pubsub|numpat" 2 Local [] Keys::None, "2.8.0", Yes, "Returns the number of different patterns.";
        PubsubNumsub "pubsub|numsub" -2 Local [] Keys::None, "2.8.0", Yes, "Returns the number of subscribers of channels.";
        PubsubShardchannels "pubsub|shardchannels" -2 Local [] Keys::None, "7.0.0", Yes, "Returns the shard channels that have subscribers.";
        PubsubShardnumsub "pubsub|shardnumsub" -2 Local [] Keys::None, "7.0.0", Yes, "Returns the number of subscribers of shard channels.";
        Punsubscribe "punsubscribe" -1 Local [SUBSCRIBED NO_MULTI] Keys::None, "2.0.0", Yes, "Stops listening to patterns.";
        Spublish "spublish" 3 Local [FAST] Keys::None, "7.0.0", Yes, "Posts a message to a shard channel; there is one shard.";
        Ssubscribe "ssubscribe" -2 Local [SUBSCRIBED NO_MULTI] Keys::None, "7.0.0", Yes, "Listens to shard channels.";
        Subscribe "subscribe" -2 Local [SUBSCRIBED NO_MULTI] Keys::None, "2.0.0", Yes, "Listens to channels.";
        Sunsubscribe "sunsubscribe" -1 Local [SUBSCRIBED NO_MULTI] Keys::None, "7.0.0", Yes, "Stops listening to shard channels.";
        Unsubscribe "unsubscribe" -1 Local [SUBSCRIBED NO_MULTI] Keys::None, "2.0.0", Yes, "Stops listening to channels.";
    }
    Transactions {
        Discard "discard" 1 Local [FAST AT_ONCE] Keys::None, "2.0.0", Yes, "Drops the queued commands.";
        Exec "exec" 1 Local [AT_ONCE] Keys::None, "1.2.0", Partly("all or nothing: an error of a command undoes the others, and the answer is EXECABORT"), "Runs the queued commands in one transaction.";
        Multi "multi" 1 Local [FAST AT_ONCE] Keys::None, "1.2.0", Yes, "Begins to queue commands.";
        TxBegin "tx.begin" -1 Local [NO_MULTI] Keys::None, "0.1.0", Yes, "Begins a transaction (read committed, repeatable read, serializable); commands that follow belong to it. Only here.";
        TxCommit "tx.commit" 1 Local [NO_MULTI] Keys::None, "0.1.0", Yes, "Commits the transaction. Only here.";
        TxJoin "tx.join" 2 Local [NO_MULTI] Keys::None, "0.1.0", Yes, "Joins the transaction of a token, which may come from another protocol. Only here.";
        TxRollback "tx.rollback" 1 Local [NO_MULTI] Keys::None, "0.1.0", Yes, "Rolls the transaction back. Only here.";
        TxToken "tx.token" 1 Local [NO_MULTI] Keys::None, "0.1.0", Yes, "Returns a token by which another session may join the transaction. Only here.";
        Unwatch "unwatch" 1 Local [FAST] Keys::None, "2.2.0", Yes, "Forgets the watched keys.";
        Watch "watch" -2 Local [FAST AT_ONCE] ALL, "2.2.0", Yes, "Lets EXEC do nothing if a key changes before.";
    }
    Connection {
        Auth "auth" -2 Local [FAST NO_AUTH NO_MULTI APART] Keys::None, "1.0.0", Yes, "Logs in.";
        Client "client" -2 Local [CONTAINER APART] Keys::None, "2.4.0", Yes, "Concerns client connections.";
        ClientCaching "client|caching" 3 Refused [] Keys::None, "6.0.0", No("keys that clients have read are not tracked"), "Controls tracking of keys.";
        ClientGetname "client|getname" 2 Local [APART] Keys::None, "2.6.9", Yes, "Returns the name of the connection.";
        ClientGetredir "client|getredir" 2 Local [APART] Keys::None, "6.0.0", Yes, "Returns the client that tracking is redirected to, which is -1.";
        ClientHelp "client|help" 2 Local [APART] Keys::None, "5.0.0", Yes, "Returns what subcommands there are.";
        ClientId "client|id" 2 Local [APART] Keys::None, "5.0.0", Yes, "Returns the id of the connection.";
        ClientInfo "client|info" 2 Local [APART] Keys::None, "6.2.0", Yes, "Returns facts about the connection.";
        ClientKill "client|kill" -3 Local [APART] Keys::None, "2.4.0", Yes, "Ends connections.";
        ClientList "client|list" -2 Local [APART] Keys::None, "2.4.0", Yes, "Returns facts about all connections.";
        ClientNoevict "client|no-evict" 3 Local [APART] Keys::None, "7.0.0", Yes, "Accepted; clients are not evicted.";
        ClientNotouch "client|no-touch" 3 Local [APART] Keys::None, "7.2.0", Yes, "Accepted; last access times are not kept.";
        ClientPause "client|pause" -3 Refused [] Keys::None, "3.0.0", No("connections are not paused"), "Stops commands of clients for a while.";
        ClientReply "client|reply" 3 Local [APART] Keys::None, "3.2.0", Yes, "Switches answers off and on.";
        ClientSetinfo "client|setinfo" 4 Local [APART] Keys::None, "7.2.0", Yes, "Names the client's library.";
        ClientSetname "client|setname" 3 Local [APART] Keys::None, "2.6.9", Yes, "Names the connection.";
        ClientTracking "client|tracking" -3 Refused [] Keys::None, "6.0.0", No("keys that clients have read are not tracked"), "Controls tracking of keys.";
        ClientTrackinginfo "client|trackinginfo" 2 Refused [] Keys::None, "6.2.0", No("keys that clients have read are not tracked"), "Returns facts about tracking.";
        ClientUnblock "client|unblock" -3 Local [APART] Keys::None, "5.0.0", Yes, "Ends the wait of a blocked connection.";
        ClientUnpause "client|unpause" 2 Refused [] Keys::None, "6.2.0", No("connections are not paused"), "Lets paused commands go on.";
        Echo "echo" 2 Local [FAST APART] Keys::None, "1.0.0", Yes, "Returns its argument.";
        Hello "hello" -1 Local [FAST NO_AUTH NO_MULTI APART] Keys::None, "6.0.0", Yes, "Chooses the protocol version, logs in, names the connection.";
        Ping "ping" -1 Local [FAST SUBSCRIBED APART] Keys::None, "1.0.0", Yes, "Returns PONG, or its argument.";
        Quit "quit" -1 Local [FAST NO_AUTH SUBSCRIBED AT_ONCE APART] Keys::None, "1.0.0", Yes, "Closes the connection.";
        Reset "reset" 1 Local [FAST NO_AUTH SUBSCRIBED AT_ONCE] Keys::None, "6.2.0", Yes, "Makes the connection as new.";
        Select "select" 2 Local [FAST APART] Keys::None, "1.0.0", Yes, "Changes the database, by its number (0 to 15) or its name.";
    }
    Server {
        Acl "acl" -2 Local [CONTAINER APART] Keys::None, "6.0.0", Partly("users are managed in SQL"), "Concerns users.";
        AclCat "acl|cat" -2 Refused [] Keys::None, "6.0.0", No("users are managed in SQL"), "Returns categories of commands.";
        AclDeluser "acl|deluser" -3 Refused [] Keys::None, "6.0.0", No("users are managed in SQL"), "Deletes users.";
        AclGetuser "acl|getuser" 3 Refused [] Keys::None, "6.0.0", No("users are managed in SQL"), "Returns the rules of a user.";
        AclList "acl|list" 2 Refused [] Keys::None, "6.0.0", No("users are managed in SQL"), "Returns the rules of all users.";
        AclSetuser "acl|setuser" -3 Refused [] Keys::None, "6.0.0", No("users are managed in SQL"), "Creates or changes a user.";
        AclUsers "acl|users" 2 Refused [] Keys::None, "6.0.0", No("users are managed in SQL"), "Returns the names of all users.";
        AclWhoami "acl|whoami" 2 Local [APART] Keys::None, "6.0.0", Yes, "Returns the user that is logged in.";
        Bgrewriteaof "bgrewriteaof" 1 Refused [] Keys::None, "1.0.0", No("checkpoints run by themselves"), "Rewrites the append-only file.";
        Bgsave "bgsave" -1 Refused [] Keys::None, "1.0.0", No("commits are on disk, checkpoints run by themselves"), "Saves the data in the background.";
        Command "command" -1 Local [CONTAINER APART] Keys::None, "2.8.13", Yes, "Returns facts about all commands.";
        CommandCount "command|count" 2 Local [APART] Keys::None, "2.8.13", Yes, "Returns the number of commands.";
        CommandDocs "command|docs" -2 Local [APART] Keys::None, "7.0.0", Partly("without arguments, complexity and history"), "Returns documentation of commands.";
        CommandGetkeys "command|getkeys" -3 Local [APART] Keys::None, "2.8.13", Yes, "Returns the keys in a command.";
        CommandGetkeysandflags "command|getkeysandflags" -3 Refused [] Keys::None, "7.0.0", No("use COMMAND GETKEYS"), "Returns the keys in a command and what is done to them.";
        CommandHelp "command|help" 2 Local [APART] Keys::None, "5.0.0", Yes, "Returns what subcommands there are.";
        CommandInfo "command|info" -2 Local [APART] Keys::None, "2.8.13", Partly("without key specifications"), "Returns facts about commands.";
        CommandList "command|list" -2 Local [APART] Keys::None, "7.0.0", Yes, "Returns the names of commands.";
        Config "config" -2 Local [CONTAINER APART] Keys::None, "2.0.0", Partly("the server is configured by its file"), "Concerns settings.";
        ConfigGet "config|get" -3 Local [APART] Keys::None, "2.0.0", Partly("only what clients ask for"), "Returns settings by patterns.";
        ConfigHelp "config|help" 2 Local [APART] Keys::None, "5.0.0", Yes, "Returns what subcommands there are.";
        ConfigResetstat "config|resetstat" 2 Local [APART] Keys::None, "2.0.0", Yes, "Sets the counters of INFO to zero.";
        ConfigRewrite "config|rewrite" 2 Refused [] Keys::None, "2.8.0", No("the server is configured by its file"), "Writes settings to the file.";
        ConfigSet "config|set" -4 Local [APART] Keys::None, "2.0.0", Partly("changes only notify-keyspace-events; what is set to what it is already is accepted"), "Changes settings.";
        Dbsize "dbsize" 1 Read [FAST] Keys::None, "1.0.0", Yes, "Returns the number of keys in the database.";
        Debug "debug" -2 Refused [] Keys::None, "1.0.0", No("refused, for it is dangerous"), "For developers of Redis.";
        Failover "failover" -1 Refused [] Keys::None, "6.2.0", No("there are no replicas"), "Hands over to a replica.";
        Flushall "flushall" -1 Write [] Keys::None, "1.0.0", Yes, "Deletes all keys of the numbered databases.";
        Flushdb "flushdb" -1 Write [] Keys::None, "1.0.0", Yes, "Deletes all keys of the database.";
        Info "info" -1 Local [APART] Keys::None, "1.0.0", Yes, "Returns facts about the server.";
        Lastsave "lastsave" 1 Local [FAST APART] Keys::None, "1.0.0", Partly("every commit is saved, the answer is now"), "Returns when the data was saved last.";
        Latency "latency" -2 Local [CONTAINER APART] Keys::None, "2.8.13", Partly("latencies are metrics"), "Concerns latencies.";
        LatencyDoctor "latency|doctor" 2 Local [APART] Keys::None, "2.8.13", Yes, "Tells where latencies are measured.";
        LatencyGraph "latency|graph" 3 Refused [] Keys::None, "2.8.13", No("latencies are metrics"), "Draws the latencies of an event.";
        LatencyHelp "latency|help" 2 Local [APART] Keys::None, "2.8.13", Yes, "Returns what subcommands there are.";
        LatencyHistogram "latency|histogram" -2 Refused [] Keys::None, "7.0.0", No("latencies are metrics"), "Returns the latencies of commands.";
        LatencyHistory "latency|history" 3 Local [APART] Keys::None, "2.8.13", Yes, "Returns latencies of an event, of which none are kept.";
        LatencyLatest "latency|latest" 2 Local [APART] Keys::None, "2.8.13", Yes, "Returns latencies of all events, of which none are kept.";
        LatencyReset "latency|reset" -2 Local [APART] Keys::None, "2.8.13", Yes, "Forgets the latencies, of which none are kept.";
        Lolwut "lolwut" -1 Local [FAST APART] Keys::None, "5.0.0", Yes, "Returns the version.";
        Memory "memory" -2 Local [CONTAINER APART] Keys::None, "4.0.0", Partly("memory is a metric"), "Concerns memory.";
        MemoryDoctor "memory|doctor" 2 Local [APART] Keys::None, "4.0.0", Yes, "Tells where memory is measured.";
        MemoryHelp "memory|help" 2 Local [APART] Keys::None, "4.0.0", Yes, "Returns what subcommands there are.";
        MemoryMallocstats "memory|malloc-stats" 2 Refused [] Keys::None, "4.0.0", No("memory is a metric"), "Returns statistics of the allocator.";
        MemoryPurge "memory|purge" 2 Local [APART] Keys::None, "4.0.0", Yes, "Accepted; the allocator gives memory back by itself.";
        MemoryStats "memory|stats" 2 Refused [] Keys::None, "4.0.0", No("memory is a metric"), "Returns where memory is used.";
        MemoryUsage "memory|usage" -3 Read [] SECOND, "4.0.0", Partly("bytes of key and value, without overheads"), "Returns the bytes that a key takes.";
        Module "module" -2 Refused [] Keys::None, "4.0.0", No("refused, there are no modules"), "Loads and lists modules.";
        Monitor "monitor" 1 Refused [] Keys::None, "1.0.0", No("it would show other users' data"), "Shows all commands as they come.";
        Replicaof "replicaof" 3 Refused [] Keys::None, "5.0.0", No("there are no replicas"), "Makes the server a replica.";
        Role "role" 1 Local [FAST APART] Keys::None, "2.8.12", Yes, "Returns the role of the server, which is master.";
        Save "save" 1 Refused [] Keys::None, "1.0.0", No("commits are on disk, checkpoints run by themselves"), "Saves the data.";
        Shutdown "shutdown" -1 Refused [] Keys::None, "1.0.0", No("the server is stopped where it was started"), "Stops the server.";
        Slaveof "slaveof" 3 Refused [] Keys::None, "1.0.0", No("there are no replicas"), "Makes the server a replica.";
        Slowlog "slowlog" -2 Local [CONTAINER APART] Keys::None, "2.2.12", Partly("slow statements are in the server's log"), "Concerns slow commands.";
        SlowlogGet "slowlog|get" -2 Local [APART] Keys::None, "2.2.12", Yes, "Returns slow commands, of which none are kept.";
        SlowlogHelp "slowlog|help" 2 Local [APART] Keys::None, "6.2.0", Yes, "Returns what subcommands there are.";
        SlowlogLen "slowlog|len" 2 Local [APART] Keys::None, "2.2.12", Yes, "Returns the number of slow commands kept, which is 0.";
        SlowlogReset "slowlog|reset" 2 Local [APART] Keys::None, "2.2.12", Yes, "Forgets slow commands, of which none are kept.";
        Swapdb "swapdb" 3 Refused [] Keys::None, "4.0.0", No("databases keep their names"), "Exchanges two databases.";
        Time "time" 1 Local [FAST APART] Keys::None, "2.6.0", Yes, "Returns the server's time.";
    }
    Scripting {
        Eval "eval" -3 Refused [] Keys::None, "2.6.0", No("there is no Lua; use MULTI, or TX.BEGIN"), "Runs a Lua script.";
        EvalRo "eval_ro" -3 Refused [] Keys::None, "7.0.0", No("there is no Lua"), "Runs a Lua script that only reads.";
        Evalsha "evalsha" -3 Refused [] Keys::None, "2.6.0", No("there is no Lua; use MULTI, or TX.BEGIN"), "Runs a Lua script by its digest.";
        EvalshaRo "evalsha_ro" -3 Refused [] Keys::None, "7.0.0", No("there is no Lua"), "Runs a Lua script by its digest, which only reads.";
        Fcall "fcall" -3 Refused [] Keys::None, "7.0.0", No("there is no Lua"), "Calls a function.";
        FcallRo "fcall_ro" -3 Refused [] Keys::None, "7.0.0", No("there is no Lua"), "Calls a function that only reads.";
        Function "function" -2 Refused [] Keys::None, "7.0.0", No("there is no Lua"), "Manages functions.";
        Script "script" -2 Refused [] Keys::None, "2.6.0", No("there is no Lua"), "Manages scripts.";
    }
    Cluster {
        Asking "asking" 1 Refused [] Keys::None, "3.0.0", No("cluster support is disabled"), "Says that a redirection is followed.";
        Cluster "cluster" -2 Refused [] Keys::None, "3.0.0", No("cluster support is disabled"), "Manages a cluster.";
        Readonly "readonly" 1 Refused [] Keys::None, "3.0.0", No("cluster support is disabled"), "Allows reads from a replica.";
        Readwrite "readwrite" 1 Refused [] Keys::None, "3.0.0", No("cluster support is disabled"), "Forbids reads from a replica.";
    }
}
