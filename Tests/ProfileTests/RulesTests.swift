// What a profile may hold.
import Contract
import Testing

@testable import Profile

@Suite struct RulesTests {
    @Test(arguments: ["x", String(repeating: "é", count: 64), "Ada Lovelace", "阿達", " x "])
    func nickname__takes_1_to_64_characters(_ nickname: String) throws {
        #expect(try ProfileChange(.with { $0.nickname = nickname }).nickname == nickname)
    }

    @Test(arguments: ["", " ", String(repeating: "x", count: 65), "a\0b", "a\nb", "a\u{2028}b", "\u{1b}[31m"])
    func nickname__refuses_the_rest(_ nickname: String) {
        #expect(throws: ProfileError.self) { try ProfileChange(.with { $0.nickname = nickname }) }
    }

    @Test func signature__takes_0_to_256_characters() throws {
        for length in [0, 1, 256] {
            let text = String(repeating: "y", count: length)
            #expect(try ProfileChange(.with { $0.signature = text }).signature == text)
        }
        #expect(throws: ProfileError.invalid("signature must have 0 to 256 characters")) {
            try ProfileChange(.with { $0.signature = String(repeating: "y", count: 257) })
        }
    }

    @Test func change__knows_which_fields_are_present() throws {
        #expect(try ProfileChange(.with { $0.expectedVersion = 1 }).isEmpty)
        #expect(try !ProfileChange(.with { $0.signature = "" }).isEmpty)
    }
}
