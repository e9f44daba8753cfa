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
        #expect(throws: ProfileError.invalid("signature", "must have 0 to 256 characters")) {
            try ProfileChange(.with { $0.signature = String(repeating: "y", count: 257) })
        }
    }

    @Test func change__knows_which_fields_are_present() throws {
        #expect(try ProfileChange(.with { $0.expectedVersion = 1 }).isEmpty)
        #expect(try !ProfileChange(.with { $0.signature = "" }).isEmpty)
    }

    @Test(arguments: [
        "Zoe\u{202e}gnp.exe", "a\u{2066}b", "Z\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}",
        "a" + String(repeating: "\u{301}", count: 10_000),
    ])
    func nickname__refuses_what_reorders_or_stacks(_ nickname: String) {
        #expect(throws: ProfileError.self) { try ProfileChange(.with { $0.nickname = nickname }) }
    }

    @Test(arguments: ["1900-01-01", "2000-02-29", "1999-12-31", "2026-11-26"])
    func birthday__takes_days(_ day: String) throws {
        #expect(try ProfileChange(.with { $0.birthday = day }, now: .init(timeIntervalSince1970: 1_795_608_000)).birthday == day)
    }

    @Test(arguments: [
        "1899-12-31", "2001-02-29", "1900-02-29", "2000-13-01", "2000-00-10", "2000-01-00", "2026-11-28", "9999-01-01",
        "2000-1-1", "20000101", "2000-01-01T00:00", "２０００-01-01", "-000-01-01", "2000-01-01\0",
    ])
    func birthday__refuses_the_rest(_ day: String) {
        #expect(throws: ProfileError.self) {
            try ProfileChange(.with { $0.birthday = day }, now: .init(timeIntervalSince1970: 1_795_608_000))
        }
    }

    @Test func custom__is_bounded_in_number_and_size() throws {
        func change(_ fields: [String: String]) throws -> ProfileChange {
            try ProfileChange(.with { $0.custom = fields })
        }
        let many = (0..<16).map { ("key_\($0)", "v") }
        #expect(try change(Dictionary(uniqueKeysWithValues: many)).custom?.keys.count == 16)
        for fields in [
            Dictionary(uniqueKeysWithValues: many + [("one_more", "v")]), ["": "v"], ["Key": "v"], ["a-b": "v"],
            ["a\0": "v"], [String(repeating: "k", count: 33): "v"], ["k": String(repeating: "v", count: 257)],
            ["k": "a\0"], Dictionary(uniqueKeysWithValues: (0..<16).map { ("k\($0)", String(repeating: "v", count: 130)) }),
        ] {
            #expect(throws: ProfileError.self) { try change(fields) }
        }
    }

    @Test func mask__says_which_fields_are_meant() throws {
        let request = Ringway_V1_UpdateMyProfileRequest.with {
            $0.nickname = "Ada"
            $0.signature = "ignored"
            $0.updateMask.paths = ["nickname", "region", "custom"]
        }
        let change = try ProfileChange(request)
        #expect(change.nickname == "Ada")
        #expect(change.signature == nil)
        #expect(change.region == "")
        #expect(change.custom?.keys == [])
        #expect(change.birthday == nil)
        for path in ["username", "version", "avatar", "", "nickname.x", "*"] {
            #expect(throws: ProfileError.self) { try ProfileChange(.with { $0.updateMask.paths = [path] }) }
        }
        // Named, but can't be emptied.
        for path in ["nickname", "status"] {
            #expect(throws: ProfileError.self) { try ProfileChange(.with { $0.updateMask.paths = [path] }) }
        }
    }

    @Test func search__refuses_what_it_could_not_bound() {
        for (query, limit, cursor) in [
            ("", 0, ""), ("ab", 0, ""), (String(repeating: "x", count: 65), 0, ""), ("a\0b", 0, ""), ("   ", 0, ""),
            ("ada", -1, ""), ("ada", 51, ""), ("ada", 1_000_000_000, ""), ("ada", 0, "x"), ("ada", 0, "u"),
            ("ada", 0, "n-1"), ("ada", 0, "nNaN"), ("ada", 0, "u\0"), ("ada", 0, "u" + String(repeating: "x", count: 200)),
            ("a.b.c", 0, "n5"),   // its nicknames are not looked at
        ] as [(String, Int32, String)] {
            #expect(throws: ProfileError.self) {
                try Search(.with { $0.query = query; $0.limit = limit; $0.cursor = cursor })
            }
        }
    }

    @Test func search__reads_no_wildcards_and_looks_at_nicknames_only_by_three_letters() throws {
        #expect(try Search(.with { $0.query = "50%_\\x" }).pattern == "50\\%\\_\\\\x")
        #expect(try Search(.with { $0.query = "a%\u{301}_\u{301}\\\u{301}" }).pattern == "a\\%\u{301}\\_\u{301}\\\\\u{301}")
        #expect(try Search(.with { $0.query = "%_%" }).reachesNicknames == false)
        #expect(try Search(.with { $0.query = "a.b.c" }).reachesNicknames == false)
        #expect(try Search(.with { $0.query = "abc" }).reachesNicknames)
        #expect(try Search(.with { $0.query = "阿達小" }).reachesNicknames)
    }

    @Test func batch__takes_1_to_100_ids_each_once() throws {
        #expect(try UserBatch([3, 1, 3]).ids == [1, 3])
        #expect(throws: ProfileError.self) { try UserBatch([]) }
        #expect(throws: ProfileError.self) { try UserBatch(Array(1...101)) }
    }
}
