//! Digits of a number by Grisu2, as the servers from 7.2 on find them.
//!
//! From: Florian Loitsch, Printing Floating-Point Numbers Quickly and Accurately with Integers, 2010. Its digits always
//! read back as the number, but of one in sixty they are not the shortest or not the closest. So no other algorithm
//! prints what the servers print.

use super::decimal::Decimal;

/// A number that is `fraction` times two to the `exponent`.
#[derive(Clone, Copy)]
struct Scaled {
    fraction: u64,
    exponent: i32,
}

impl Scaled {
    fn normalized(self) -> Self {
        let shift = self.fraction.leading_zeros();
        Self { fraction: self.fraction << shift, exponent: self.exponent - shift as i32 }
    }

    /// The upper half of the product, rounded.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.fraction) * u128::from(other.fraction) + (1 << 63);
        Self { fraction: (product >> 64) as u64, exponent: self.exponent + other.exponent + 64 }
    }
}

/// The first power of ten in the table, and the distance from one to the next.
const FIRST_POWER: i32 = -348;
const STEP: i32 = 8;

/// The power of ten in row `index` of the table, rounded to 64 bits.
fn power_of_ten(index: usize) -> Scaled {
    let power = FIRST_POWER + STEP * index as i32;
    // The whole part of the power's logarithm to base 2, exact in this range.
    let logarithm = (power * 1_741_647) >> 19;
    Scaled { fraction: POWERS[index], exponent: logarithm - 63 }
}

/// A power of ten that scales a number with this exponent to one between -60 and -32, with its row in the table. Where
/// two do, the servers begin their search here; which one it is shows in the digits.
fn scale_for(exponent: i32) -> (Scaled, usize) {
    const LOG_OF_TWO: f64 = 0.301_029_995_663_981_14;
    let guess = (f64::from(-(exponent + POWERS.len() as i32)) * LOG_OF_TWO) as i32;
    let mut index = ((guess - FIRST_POWER) / STEP) as usize;
    loop {
        let power = power_of_ten(index);
        match exponent + power.exponent + 64 {
            ..-60 => index += 1,
            -31.. => index -= 1,
            _ => return (power, index),
        }
    }
}

/// The digits of `value`, which is positive and finite.
pub fn digits(value: f64) -> Decimal {
    const FRACTION_BITS: i32 = 52;
    const HIDDEN: u64 = 1 << FRACTION_BITS;
    let bits = value.to_bits();
    let (stored, biased) = (bits & (HIDDEN - 1), (bits >> FRACTION_BITS) as i32);
    let number = match biased {
        0 => Scaled { fraction: stored, exponent: 1 - 1023 - FRACTION_BITS },
        _ => Scaled { fraction: stored | HIDDEN, exponent: biased - 1023 - FRACTION_BITS },
    };
    // The middles between the number and its neighbours. The one below a power of two is half as far away.
    let upper = Scaled { fraction: (number.fraction << 1) + 1, exponent: number.exponent - 1 }.normalized();
    let closer = 1 + i32::from(number.fraction == HIDDEN);
    let lower = (number.fraction << closer) - 1;
    let lower = Scaled { fraction: lower << (number.exponent - closer - upper.exponent), exponent: upper.exponent };
    let (scale, row) = scale_for(upper.exponent);
    let (number, upper, lower) = (number.normalized().times(scale), upper.times(scale), lower.times(scale));
    // The products are off by up to one: what lies inside by more than that lies inside.
    let interval = Interval { upper: upper.fraction - 1, lower: lower.fraction + 1, number: number.fraction };
    interval.digits(-upper.exponent, -(FIRST_POWER + STEP * row as i32))
}

/// Which numbers read back as the one that is printed, all with the same exponent.
struct Interval {
    upper: u64,
    lower: u64,
    number: u64,
}

impl Interval {
    /// The fewest digits of `upper` that stay inside, the last one lowered towards `number`. `point` is the number of
    /// bits below one, `power` the power of ten that everything is to be multiplied by.
    fn digits(&self, point: i32, power: i32) -> Decimal {
        let (mut width, mut distance) = (self.upper - self.lower, self.upper - self.number);
        let one = 1u64 << point;
        let (mut whole, mut part) = (self.upper >> point, self.upper & (one - 1));
        let mut decimal = Decimal::EMPTY;
        for place in (0..10).rev() {
            let unit = 10u64.pow(place);
            decimal.push_significant((whole / unit) as u8);
            whole %= unit;
            let rest = (whole << point) + part;
            if rest <= width {
                lower_last(&mut decimal, distance, width, rest, unit << point);
                return decimal.scaled(power + place as i32);
            }
        }
        let mut place = 0;
        loop {
            place -= 1;
            (part, width, distance) = (part * 10, width * 10, distance.wrapping_mul(10));
            decimal.push_significant((part >> point) as u8);
            part &= one - 1;
            if part < width {
                lower_last(&mut decimal, distance, width, part, one);
                return decimal.scaled(power + place);
            }
        }
    }
}

/// Lowers the last digit while that brings the digits, `rest` below the upper end, closer to the number, which is
/// `distance` below it, and keeps them inside of `width`. One in the last digit is a `unit`.
fn lower_last(decimal: &mut Decimal, distance: u64, width: u64, mut rest: u64, unit: u64) {
    while rest < distance
        && width - rest >= unit
        && (rest + unit < distance || distance - rest > rest + unit - distance)
    {
        decimal.lower_last();
        rest += unit;
    }
}

/// Each eighth power of ten, from 10 to the -348 to 10 to the 340, as the nearest 64 bits.
#[rustfmt::skip]
const POWERS: [u64; 87] = [
    0xfa8f_d5a0_081c_0288, 0xbaae_e17f_a23e_bf76, 0x8b16_fb20_3055_ac76, 0xcf42_894a_5dce_35ea,
    0x9a6b_b0aa_5565_3b2d, 0xe61a_cf03_3d1a_45df, 0xab70_fe17_c79a_c6ca, 0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c, 0x8dd0_1fad_907f_fc3c, 0xd351_5c28_3155_9a83, 0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb, 0xaecc_4991_4078_536d, 0x823c_1279_5db6_ce57, 0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f, 0xd774_85cb_2582_3ac7, 0xa086_cfcd_97bf_97f4, 0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e, 0x84c8_d4df_d2c6_3f3b, 0xc5dd_4427_1ad3_cdba, 0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584, 0xa3ab_6658_0d5f_daf6, 0xf3e2_f893_dec3_f126, 0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b, 0xc9bc_ff60_34c1_3053, 0x964e_858c_91ba_2655, 0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f, 0xf8a9_5fcf_8874_7d94, 0xb944_7093_8fa8_9bcf, 0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6, 0x993f_e2c6_d07b_7fac, 0xe45c_10c4_2a2b_3b06, 0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e, 0xbce5_0864_9211_1aeb, 0x8cbc_cc09_6f50_88cc, 0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000, 0xe8d4_a510_0000_0000, 0xad78_ebc5_ac62_0000, 0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3, 0x8f7e_32ce_7bea_5c70, 0xd5d2_38a4_abe9_8068, 0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27, 0xb0de_6538_8cc8_ada8, 0x83c7_088e_1aab_65db, 0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758, 0xda01_ee64_1a70_8dea, 0xa26d_a399_9aef_774a, 0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877, 0x865b_8692_5b9b_c5c2, 0xc835_53c5_c896_5d3d, 0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3, 0xa59b_c234_db39_8c25, 0xf6c6_9a72_a398_9f5c, 0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2, 0xcc20_ce9b_d35c_78a5, 0x9816_5af3_7b21_53df, 0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396, 0xfb9b_7cd9_a4a7_443c, 0xbb76_4c4c_a7a4_4410, 0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c, 0x9b10_a4e5_e991_3129, 0xe710_9bfb_a19c_0c9d, 0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85, 0xbf21_e440_03ac_dd2d, 0x8e67_9c2f_5e44_ff8f, 0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9, 0xeb96_bf6e_badf_77d9, 0xaf87_023b_9bf0_ee6b,
];
