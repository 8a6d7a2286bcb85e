use super::*;

#[test]
fn smoke() {
    let text = include_str!("../../../../examples/storefront/edge.toml");
    let policy = read(text).map_err(|errors| errors.to_string()).unwrap();
    assert_eq!(policy.routes.len(), 5);
}
