// The small rules that every service shares: what a text may hold, and what an instant looks like.
import Foundation
import ServiceKit
import SwiftProtobuf
import Testing

@Suite struct TextRuleTests {
    private let rule = TextRule(characters: 1...4)

    @Test(arguments: ["a", "abcd", "👩👩👩👩", "e\u{301}", " a "])
    func text__within_the_rule_passes(_ text: String) {
        #expect(rule.violation(by: text) == nil)
    }

    @Test func text__is_counted_in_scalars() {
        for text in ["", "abcde", "e\u{301}e\u{301}e\u{301}", String(repeating: "x", count: 1 << 24)] {
            #expect(rule.violation(by: text) == "must have 1 to 4 characters")
        }
    }

    @Test(arguments: ["a\0", "\n", "\u{7f}", "\u{85}", "\u{2028}", "\u{2029}", "\u{1b}[m"])
    func text__holds_no_control_characters(_ text: String) {
        #expect(rule.violation(by: text) == "must not contain control characters")
    }

    @Test func text__that_must_be_there_must_be_seen() {
        #expect(rule.violation(by: " \u{a0}") == "must not be blank")
        #expect(TextRule(characters: 0...4).violation(by: "  ") == nil)
        #expect(TextRule(characters: 0...4).violation(by: "") == nil)
    }
}

@Suite struct TimestampTests {
    @Test(arguments: [
        (1_800_000_000.123456, 1_800_000_000, 123_456_000), (0, 0, 0), (-0.25, -1, 750_000_000), (-1, -1, 0),
    ])
    func timestamp__is_whole_microseconds(_ unix: Double, _ seconds: Int64, _ nanos: Int32) {
        let timestamp = Google_Protobuf_Timestamp(microsecondsOf: Date(timeIntervalSince1970: unix))
        #expect((timestamp.seconds, timestamp.nanos) == (seconds, nanos))
    }
}
