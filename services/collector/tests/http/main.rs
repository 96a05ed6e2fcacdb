//! The collector over real HTTP against the log in memory: every form of input, every refusal, every rejection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod attacks;
mod browsers;
mod bulk;
mod clicks;
mod cookieless;
mod corpus;
mod derived;
mod docs;
mod forgetting;
mod forms;
mod imports;
mod left_out;
mod lifecycle;
mod privacy;
mod quotas;
mod rebuilding;
mod refusals;
mod rejections;
mod schemas;
mod server_side;
mod support;
mod tag;
mod times;
