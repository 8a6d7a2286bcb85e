//! The core's speed: decisions, routes, user agents, compilation and stored responses.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use selvedge_bench::{
    NOW, REQUESTS, STOREFRONT, USER_AGENTS, decide, engine, facts, policy_of_routes, request, stored_variant,
    targets_among,
};
use selvedge_core::bot::Classifier;
use selvedge_core::cache::reuse::{reuse, serve};

/// Few enough that their memory is used again, as on a server; larger batches measure the kernel's page faults.
const BATCH: BatchSize = BatchSize::NumIterations(16);

fn storefront(c: &mut Criterion) {
    let engine = engine(STOREFRONT);
    let mut group = c.benchmark_group("storefront");
    for (name, target, country) in REQUESTS {
        let (request, facts) = (request(target), facts(country));
        group.bench_function(name, |b| {
            b.iter_batched(
                || (request.clone(), facts.clone()),
                |(request, facts)| decide(&engine, request, facts),
                BATCH,
            );
        });
    }
    group.finish();
}

fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("routes");
    for count in [10, 1_000] {
        let engine = engine(&policy_of_routes(count));
        let requests = targets_among(count).map(|target| request(&target));
        group.bench_function(count.to_string(), |b| {
            b.iter_batched(
                || requests.clone(),
                |requests| requests.map(|request| decide(&engine, request, facts("DE"))),
                BATCH,
            );
        });
    }
    group.finish();
}

fn classify(c: &mut Criterion) {
    let classifier = Classifier::new();
    let mut group = c.benchmark_group("classify");
    for (name, user_agent) in USER_AGENTS {
        group.bench_function(name, |b| {
            b.iter(|| classifier.classify_user_agent(black_box(user_agent.as_bytes())));
        });
    }
    group.finish();
}

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.bench_function("storefront", |b| b.iter(|| engine(black_box(STOREFRONT))));
    group.finish();
}

/// May a stored response answer, and with which head?
fn stored(c: &mut Criterion) {
    let request = request("/").headers().clone();
    let stored = stored_variant(&request);
    let mut group = c.benchmark_group("stored");
    group.bench_function("reuse", |b| b.iter(|| reuse(black_box(&stored), black_box(&request), NOW)));
    group.bench_function("serve", |b| b.iter(|| serve(black_box(&stored), black_box(&request), NOW)));
    group.finish();
}

criterion_group!(benches, storefront, routes, classify, compile, stored);
criterion_main!(benches);
