//! The order of the eighty rounds (RFC 3174, 6.1), which is the same however many messages are hashed at once.

/// The eighty rounds. `$round` is the macro of one round, `$word` that of a word of the schedule behind the first sixteen, `$w` those
/// sixteen; the roles of the five words of state turn with each round. `$ch`, `$parity` and `$maj` are for `$round` to know.
macro_rules! eighty_rounds {
    ($round:ident $word:ident $w:ident, [$($state:ident)*], [$ch:ident $parity:ident $maj:ident]) => {
        five_rounds!($round [$($state)*], $ch, 0, $w[0], $w[1], $w[2], $w[3], $w[4]);
        five_rounds!($round [$($state)*], $ch, 0, $w[5], $w[6], $w[7], $w[8], $w[9]);
        five_rounds!($round [$($state)*], $ch, 0, $w[10], $w[11], $w[12], $w[13], $w[14]);
        five_rounds!($round [$($state)*], $ch, 0, $w[15], $word!(16), $word!(17), $word!(18), $word!(19));
        twenty_rounds!($round $word [$($state)*], $parity, 1, 20);
        twenty_rounds!($round $word [$($state)*], $maj, 2, 40);
        twenty_rounds!($round $word [$($state)*], $parity, 3, 60);
    };
}

/// The rounds from `$t` on, all with the same function and the constant `$k`.
macro_rules! twenty_rounds {
    ($round:ident $word:ident [$($state:ident)*], $f:ident, $k:literal, $t:literal) => {
        five_rounds!(
            $round [$($state)*], $f, $k,
            $word!($t), $word!($t + 1), $word!($t + 2), $word!($t + 3), $word!($t + 4)
        );
        five_rounds!(
            $round [$($state)*], $f, $k,
            $word!($t + 5), $word!($t + 6), $word!($t + 7), $word!($t + 8), $word!($t + 9)
        );
        five_rounds!(
            $round [$($state)*], $f, $k,
            $word!($t + 10), $word!($t + 11), $word!($t + 12), $word!($t + 13), $word!($t + 14)
        );
        five_rounds!(
            $round [$($state)*], $f, $k,
            $word!($t + 15), $word!($t + 16), $word!($t + 17), $word!($t + 18), $word!($t + 19)
        );
    };
}

/// Five rounds, after which each word of state has its role again.
macro_rules! five_rounds {
    (
        $round:ident [$a:ident $b:ident $c:ident $d:ident $e:ident], $f:ident, $k:literal,
        $w0:expr, $w1:expr, $w2:expr, $w3:expr, $w4:expr
    ) => {
        $round!($a $b $c $d $e, $f, $k, $w0);
        $round!($e $a $b $c $d, $f, $k, $w1);
        $round!($d $e $a $b $c, $f, $k, $w2);
        $round!($c $d $e $a $b, $f, $k, $w3);
        $round!($b $c $d $e $a, $f, $k, $w4);
    };
}
