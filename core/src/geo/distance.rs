//! Great-circle distance.

use crate::facts::Coordinates;

/// Mean radius of the Earth, (2a + b) / 3 of
/// [GRS 80](https://doi.org/10.1007/s001900050278), in kilometres.
pub const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// Returns the great-circle distance of two positions in kilometres, by the haversine formula.
///
/// # Examples
/// ```
/// use selvedge_core::facts::Coordinates;
/// use selvedge_core::geo::distance::great_circle_km;
///
/// let equator = Coordinates::new(0.0, 0.0).expect("in range");
/// let north = Coordinates::new(1.0, 0.0).expect("in range");
/// assert!((great_circle_km(equator, north) - 111.195).abs() < 0.001, "one degree of latitude");
/// ```
#[must_use]
pub fn great_circle_km(a: Coordinates, b: Coordinates) -> f64 {
    let (latitude_a, latitude_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half = |from: f64, to: f64| ((to - from) / 2.0).sin().powi(2);
    let longitude = half(a.longitude.to_radians(), b.longitude.to_radians());
    let h = half(latitude_a, latitude_b) + latitude_a.cos() * latitude_b.cos() * longitude;
    2.0 * EARTH_RADIUS_KM * h.clamp(0.0, 1.0).sqrt().asin()
}

/// Returns the candidate nearest to `from`; of equally near ones the first.
pub fn nearest<T>(from: Coordinates, candidates: impl Iterator<Item = (T, Coordinates)>) -> Option<T> {
    let measured = candidates.map(|(candidate, at)| (candidate, great_circle_km(from, at)));
    measured.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use proptest::prelude::*;

    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates::new(latitude, longitude).unwrap()
    }

    #[test]
    fn known_arcs_have_their_length() {
        let rows = [
            (at(0.0, 0.0), at(0.0, 90.0), PI / 2.0 * EARTH_RADIUS_KM),
            (at(0.0, 0.0), at(0.0, 180.0), PI * EARTH_RADIUS_KM),
            (at(90.0, 0.0), at(-90.0, 0.0), PI * EARTH_RADIUS_KM),
            (
                at(10.0, 179.0),
                at(10.0, -179.0),
                2.0 * EARTH_RADIUS_KM * (10_f64.to_radians().cos() * 1_f64.to_radians().sin()).asin(),
            ),
            (at(60.0, 25.0), at(61.0, 25.0), PI / 180.0 * EARTH_RADIUS_KM),
        ];
        for (a, b, expected) in rows {
            assert!((great_circle_km(a, b) - expected).abs() < 1e-6, "{a:?} to {b:?}");
        }
    }

    #[test]
    fn the_first_of_equally_near_candidates_wins() {
        let candidates = [("west", at(0.0, -1.0)), ("east", at(0.0, 1.0)), ("far", at(0.0, 50.0))];
        assert_eq!(nearest(at(0.0, 0.0), candidates.into_iter()), Some("west"));
        assert_eq!(nearest(at(0.0, 40.0), candidates.into_iter()), Some("far"));
        assert_eq!(nearest(at(0.0, 0.0), std::iter::empty::<((), _)>()), None);
    }

    proptest! {
        #[test]
        fn distance_is_a_metric(
            a in (-90.0..90.0, -180.0..180.0),
            b in (-90.0..90.0, -180.0..180.0),
            c in (-90.0..90.0, -180.0..180.0),
        ) {
            let [a, b, c] = [a, b, c].map(|(latitude, longitude)| at(latitude, longitude));
            let epsilon = 1e-3;
            prop_assert!((great_circle_km(a, b) - great_circle_km(b, a)).abs() < epsilon);
            prop_assert!(great_circle_km(a, c) <= great_circle_km(a, b) + great_circle_km(b, c) + epsilon);
            prop_assert!(great_circle_km(a, a) < epsilon);
        }
    }
}
