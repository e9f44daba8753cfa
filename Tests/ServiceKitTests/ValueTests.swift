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
        for blank in [" \u{a0}", "\u{200b}", "\u{3164}", "\u{115f} \u{feff}", "\u{2060}\u{ad}", "\u{2800}", "\u{e0041}\u{200d}"] {
            #expect(rule.violation(by: blank) == "must not be blank")
        }
        #expect(rule.violation(by: "a\u{200b}") == nil)
        #expect(TextRule(characters: 0...4).violation(by: "  ") == nil)
        #expect(TextRule(characters: 0...4).violation(by: "") == nil)
    }

    @Test func text__stacks_five_marks_at_most_whatever_is_hidden_between_them() {
        let rule = TextRule(characters: 1...64)
        let five = String(repeating: "\u{335}", count: 5)
        #expect(rule.violation(by: "Z" + five + "a" + five) == nil)
        for hidden in ["", "\u{200d}", "\u{200b}", "\u{ad}", "\u{3164}"] {
            #expect(rule.violation(by: "Z" + five + hidden + "\u{335}") == "must not stack more than 5 marks on a letter")
        }
        // A family of emoji, and a flag.
        #expect(rule.violation(by: "👩‍❤️‍💋‍👨👨‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿") == nil)
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
