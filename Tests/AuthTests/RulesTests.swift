// What Auth accepts and refuses, without a database.
import Contract
import Foundation
import ServiceKit
import Testing

@testable import Auth

@Suite struct RulesTests {
    @Test(arguments: ["ada", "a-1", "a._-", "x" + String(repeating: "0", count: 31)])
    func username__takes_ASCII_names(_ name: String) throws {
        #expect(try Username(name).text == name)
    }

    @Test func username__folds_full_width_as_NFKC_does() throws {
        let wide = "\u{ff21}da\u{ff3f}\u{ff11}"
        #expect(try Username(wide).text == "ada_1")
        #expect(try Username(wide).text == wide.precomposedStringWithCompatibilityMapping.lowercased())
        #expect(try Username(String(repeating: "\u{ff41}", count: 32)).text == String(repeating: "a", count: 32))
    }

    @Test(arguments: ["ada@example.org", "A.b+c@Mail.Example.ORG", "o'hara@x-y.io", String(repeating: "l", count: 64) + "@a.bc"])
    func email__takes_addresses(_ text: String) throws {
        #expect(try EmailAddress(text).text == text.lowercased())
    }

    @Test(arguments: [
        "ada", "@example.org", "ada@", "ada@example", "a@b@c.org", "a..b@c.org", ".a@c.org", "a.@c.org", "ada @c.org",
        "ada@-c.org", "ada@c-.org", "ada@c..org", "ada@127.0.0.1", "ada@[::1]", "\"a\"@c.org", "ada@c.org\n", "ad\0a@c.org",
        "adä@c.org", "ada@exämple.org", "ada@ex\u{200b}ample.org", String(repeating: "l", count: 65) + "@a.bc",
        "a@" + String(repeating: "b", count: 64) + ".org", "a@" + String(repeating: "b.", count: 130) + "org",
        String(repeating: "a", count: 1 << 20),
    ])
    func email__refuses_the_rest(_ text: String) {
        #expect(throws: AuthError.self) { try EmailAddress(text) }
    }

    @Test(arguments: [
        "password", "PassWord", "12345678", "qwertyuiop", "iloveyou", "ada_lovelace", "ADA_lovelace", "ada@example.org",
    ])
    func chosen_password__is_none_that_everyone_tries_first(_ text: String) {
        #expect(throws: AuthError.self) {
            try Password(choosing: text, known: ["ada_lovelace", "ada@example.org"])
        }
    }

    @Test func chosen_password__names_its_field_and_needs_no_composition() throws {
        #expect(throws: AuthError.invalid("new_password", "must have 8 to 256 characters")) {
            try Password(choosing: "short", field: "new_password", known: [])
        }
        for text in ["correct horse", "aaaaaaaaaaaaaaaaaaaaaaaa", "        ", String(repeating: "x", count: 256)] {
            _ = try Password(choosing: text, known: ["ada"])
        }
    }

    @Test func common_passwords__hold_more_than_ASVS_asks_for_and_find_each_line() {
        #expect(CommonPasswords.count > 3000)
        // The first, the last, and one from the middle.
        for text in ["!qaz1qaz", "password1", "qwerty123"] { #expect(CommonPasswords.contains(text)) }
        for text in ["", "\n", "password1\npassword2", "correct horse", "~~~~~~~~~~~~~~~~"] {
            #expect(!CommonPasswords.contains(text))
        }
    }

    @Test func username__folds_case() throws {
        #expect(try Username("AdaLOVELACE_Z").text == "adalovelace_z")
    }

    @Test(arguments: [
        "", "ab", "x" + String(repeating: "0", count: 32), "1ada", "_ada", "ada lovelace", "ada\0", "ada@", "ada[",
        "ada`", "adå", "ad\u{430}", "ad\u{212a}", "ada\n", "'; --", "ad\u{200b}a", "\u{202e}ada", "ada\u{ad}", "ad\u{1d41a}",
        "\u{24d0}da", "a\u{fb01}a", "ada\u{feff}", "ada\u{e0061}", "ad" + String(repeating: "\u{301}", count: 10_000),
        "\u{ff11}ada", String(repeating: "\u{ff41}", count: 33),
    ])
    func username__refuses_the_rest(_ name: String) {
        #expect(throws: AuthError.self) { try Username(name) }
    }

    @Test func password__has_8_to_256_characters_of_any_kind() throws {
        for text in ["12345678", "nul\0nul\0", "pässwörd", String(repeating: "👩", count: 256)] {
            #expect(try Password(text).bytes == Array(text.utf8))
        }
        let long = [257, 1 << 20].map { String(repeating: "x", count: $0) }
        for text in ["", "1234567", "👩👩👩👩👩👩👩"] + long {
            #expect(throws: AuthError.invalid("password", "must have 8 to 256 characters")) { try Password(text) }
        }
    }

    @Test func password__is_the_same_composed_and_decomposed() throws {
        #expect(try Password("pa\u{308}sswo\u{308}rd") == Password("p\u{e4}ssw\u{f6}rd"))
        #expect(try Password(String(repeating: "e\u{301}", count: 256)).bytes.count == 512)
        #expect(throws: AuthError.self) { try Password("e\u{301}e\u{301}e\u{301}e\u{301}") }
        #expect(try Password("password") != Password("Password"))
    }

    @Test func device__has_a_name_and_a_platform() throws {
        func device(_ name: String, _ platform: String) throws -> NewDevice {
            try NewDevice(.with { ($0.name, $0.platform) = (name, platform) })
        }
        #expect(try device("Ada's laptop", "linux").name == "Ada's laptop")
        let name = String(repeating: "n", count: 64)
        let platform = String(repeating: "p", count: 32)
        #expect(try device(name, platform).platform == platform)
        let refused = [("", "p"), ("n", ""), (name + "n", "p"), ("n", platform + "p"), ("n\0", "p"), ("n", " ")]
        for (name, platform) in refused {
            #expect(throws: AuthError.self) { try device(name, platform) }
        }
        #expect(throws: AuthError.self) { try NewDevice(.init()) }
    }
}

@Suite struct Base64URLTests {
    @Test func encode__is_RFC_4648_without_padding() {
        #expect(Base64URL.encode([]) == "")
        #expect(Base64URL.encode([0xfb, 0xff]) == "-_8")
        #expect(Base64URL.encode(Array("foob".utf8)) == "Zm9vYg")
    }

    @Test func decode__takes_only_what_encode_writes() {
        for count in 0..<70 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255) }
            #expect(Base64URL.decode(Base64URL.encode(bytes).utf8) == bytes)
        }
        for text in ["A", "AA==", "AB", "+_8", "-/8", "Zm 9v", "Zm9v\n", "Zm9é", "\u{212a}AAA"] {
            #expect(Base64URL.decode(text.utf8) == nil)
        }
    }
}
