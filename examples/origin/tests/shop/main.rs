//! The shop as a service: its API, its cache, its notices, and what becomes of them when servers die.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;
mod client;
mod contract;
mod edge;
mod hangs;
mod notices;
mod operation;
mod origins;
mod outages;
mod servers;
mod storm;

use selvedge_origin::OriginConfig;

use servers::{Postgres, Redis};

/// Declares that each case holds on SQLite in memory and in a file, on PostgreSQL, and with Redis before either.
macro_rules! cases_hold_on_every_server {
    ($($case:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $case() {
                    super::cases::$case(&super::OriginConfig::default()).await;
                    let folder = tempfile::tempdir().unwrap();
                    let file = folder.path().join("shop.db");
                    super::cases::$case(&super::OriginConfig::default().with_database_file(&file)).await;
                }
            )*
        }

        #[tokio::test]
        async fn every_case_holds_on_postgresql() {
            let Some(postgres) = Postgres::start_if_installed() else { return };
            $(
                let config = OriginConfig { database_url: postgres.new_database(), ..OriginConfig::default() };
                cases::$case(&config).await;
            )*
        }

        #[tokio::test]
        async fn every_case_holds_with_redis() {
            let Some(redis) = Redis::start_if_installed() else { return };
            $(
                let cache_url = Some(redis.url());
                cases::$case(&OriginConfig { cache_url, ..OriginConfig::default() }).await;
            )*
        }
    };
}

cases_hold_on_every_server!(
    a_list_is_read_page_by_page,
    a_record_is_created_read_replaced_and_deleted,
    a_change_needs_the_version_that_there_is,
    validators_answer_conditional_requests,
    a_request_that_is_wrong_is_told_why,
    a_key_carries_a_request_out_once,
    a_key_carries_a_change_out_once,
    no_read_after_a_write_is_stale,
    a_crowd_asks_the_database_once,
    of_concurrent_changes_of_one_version_one_holds,
);
