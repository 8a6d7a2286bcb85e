//! Kinds of bots.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a bot is for.
///
/// A client that bears the signs of several kinds counts as the most severe of
/// them; see [`severity`](Self::severity).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "policy-file", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BotCategory {
    /// Indexes pages for a search engine, such as Googlebot.
    SearchEngine,
    /// Reads pages to train or feed a language model, such as GPTBot.
    AiCrawler,
    /// Watches rankings, links and competitors, such as AhrefsBot.
    Seo,
    /// Watches whether a site is up and well, such as Pingdom.
    Monitor,
    /// Draws the preview of a link that somebody shared, such as facebookexternalhit.
    Preview,
    /// A program's HTTP client that names no purpose, such as curl.
    HttpLibrary,
    /// A scraper or an attack tool, such as Scrapy or sqlmap.
    Scraper,
    /// A browser under a program's control, such as HeadlessChrome.
    Automation,
    /// Reads feeds for subscribers, such as Feedfetcher.
    FeedReader,
    /// Keeps copies of pages, such as the Internet Archive's.
    Archiver,
    /// Checks pages for advertisers, such as AdsBot.
    Advertising,
    /// Gathers data for research, such as Semantic Scholar's.
    Academic,
    /// A security service that surveys or validates, such as SSL Labs.
    Security,
    /// A bot by its behaviour, of no known name.
    Unknown,
}

impl BotCategory {
    /// Every category, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::SearchEngine,
        Self::AiCrawler,
        Self::Seo,
        Self::Monitor,
        Self::Preview,
        Self::HttpLibrary,
        Self::Scraper,
        Self::Automation,
        Self::FeedReader,
        Self::Archiver,
        Self::Advertising,
        Self::Academic,
        Self::Security,
        Self::Unknown,
    ];

    /// Reads a kebab-case name, such as `search-engine`; `None` for any other text.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == name)
    }

    /// Returns the kebab-case name, such as `search-engine`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SearchEngine => "search-engine",
            Self::AiCrawler => "ai-crawler",
            Self::Seo => "seo",
            Self::Monitor => "monitor",
            Self::Preview => "preview",
            Self::HttpLibrary => "http-library",
            Self::Scraper => "scraper",
            Self::Automation => "automation",
            Self::FeedReader => "feed-reader",
            Self::Archiver => "archiver",
            Self::Advertising => "advertising",
            Self::Academic => "academic",
            Self::Security => "security",
            Self::Unknown => "unknown",
        }
    }

    /// Returns how severe the category is: of several signs the highest number counts.
    ///
    /// From the most severe: scraper, automation, ai-crawler, seo, advertising,
    /// security, archiver, academic, monitor, feed-reader, preview, search-engine,
    /// http-library, unknown. A user agent is whatever its sender writes, so a welcome
    /// name never hides an unwelcome one: `Googlebot sqlmap` is a scraper. An HTTP
    /// library is last of the known ones, since a crawler that names its library is still that crawler.
    #[must_use]
    pub const fn severity(self) -> u8 {
        match self {
            Self::Scraper => 13,
            Self::Automation => 12,
            Self::AiCrawler => 11,
            Self::Seo => 10,
            Self::Advertising => 9,
            Self::Security => 8,
            Self::Archiver => 7,
            Self::Academic => 6,
            Self::Monitor => 5,
            Self::FeedReader => 4,
            Self::Preview => 3,
            Self::SearchEngine => 2,
            Self::HttpLibrary => 1,
            Self::Unknown => 0,
        }
    }
}

impl fmt::Display for BotCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
