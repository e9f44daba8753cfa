// Where a setting's value comes from, and what is said of one that is wrong.
import Foundation
import Testing

@testable import ServiceKit

@Suite struct SettingsTests {
    private static let known = [
        Setting("ws-port", default: "7400", "the WebSocket door"),
        Setting("ws-address", default: "127.0.0.1", "its address"),
        Setting("ws-origins", default: "", "allowed origins"),
        Setting("database-url", default: "", secret: true, "the database"),
    ]

    private struct NoFile: Error {}

    private func settings(
        _ arguments: [String] = [], _ environment: [String: String] = [:], files: [String: String] = [:],
        ignoring: Set<String> = []
    ) throws(SettingsError) -> Settings {
        try Settings(Self.known, arguments: arguments, environment: environment, ignoring: ignoring) { path in
            guard let text = files[path] else { throw NoFile() }
            return text
        }
    }

    private func complaint(_ body: () throws(SettingsError) -> some Any) -> String? {
        do {
            _ = try body()
            return nil
        } catch {
            return error.description
        }
    }

    // MARK: Sources

    @Test func fallback__stands_when_nothing_is_set() throws {
        #expect(try settings().string("ws-port") == "7400")
    }

    @Test func flag__wins_over_variable_and_variable_over_file() throws {
        let files = ["ringway.conf": "ws-port = 1\nws-address = file\nws-origins = file"]
        let settings = try settings(
            ["--config", "ringway.conf", "--ws-port=3"], ["RINGWAY_WS_PORT": "2", "RINGWAY_WS_ADDRESS": "variable"],
            files: files)
        #expect(settings.string("ws-port") == "3")
        #expect(settings.string("ws-address") == "variable")
        #expect(settings.string("ws-origins") == "file")
    }

    @Test func config_flag__wins_over_its_variable() throws {
        let files = ["flag.conf": "ws-port = 1", "variable.conf": "ws-port = 2"]
        let environment = ["RINGWAY_CONFIG": "variable.conf"]
        #expect(try settings([], environment, files: files).string("ws-port") == "2")
        #expect(try settings(["--config=flag.conf"], environment, files: files).string("ws-port") == "1")
    }

    @Test func flag__takes_its_value_after_an_equals_sign_or_a_space() throws {
        #expect(try settings(["--database-url=a=b"]).string("database-url") == "a=b")
        #expect(try settings(["--ws-address", "::1", "--ws-port", "1"]).string("ws-address") == "::1")
        #expect(try settings(["--ws-origins="]).string("ws-origins").isEmpty)
    }

    @Test func secret__may_be_a_file_and_loses_its_last_line_break() throws {
        let settings = try settings(
            [], ["RINGWAY_DATABASE_URL_FILE": "/run/secret"], files: ["/run/secret": "postgresql://db/ringway\n"])
        #expect(settings.string("database-url") == "postgresql://db/ringway")
    }

    @Test func variables_of_others__are_not_looked_at() throws {
        let environment = ["PATH": "/bin", "WS_PORT": "1", "RINGWAY_TEST_URL": "x"]
        #expect(try settings([], environment, ignoring: ["RINGWAY_TEST_URL"]).string("ws-port") == "7400")
    }

    @Test(arguments: ["\n", "\r\n"])
    func file__has_comments_blank_lines_and_room_around_names(lineBreak: String) throws {
        let lines = ["# a comment", "", "  ws-port=  1 ", "\tws-address = a = b", "ws-origins ="]
        let settings = try settings(["--config", "f"], files: ["f": lines.joined(separator: lineBreak)])
        #expect(settings.string("ws-port") == "1")
        #expect(settings.string("ws-address") == "a = b")
        #expect(settings.string("ws-origins").isEmpty)
    }

    // MARK: Complaints

    @Test func unknown_name__tells_the_nearest() {
        #expect(
            complaint { () throws(SettingsError) in try settings(["--ws-prt", "1"]) }
                == "--ws-prt is not a setting; did you mean --ws-port?")
        #expect(
            complaint { () throws(SettingsError) in try settings([], ["RINGWAY_DATABSE_URL": "x"]) }
                == "RINGWAY_DATABSE_URL is not a setting; did you mean RINGWAY_DATABASE_URL?")
        #expect(
            complaint { () throws(SettingsError) in try settings(["--config", "f"], files: ["f": "\nws-adress = x"]) }
                == "f, line 2: ws-adress is not a setting; did you mean ws-address?")
        #expect(
            complaint { () throws(SettingsError) in try settings(["--confg", "f"]) }
                == "--confg is not a setting; did you mean --config?")
        #expect(
            complaint { () throws(SettingsError) in try settings([], ["RINGWAY_CONFG": "f"]) }
                == "RINGWAY_CONFG is not a setting; did you mean RINGWAY_CONFIG?")
    }

    @Test func number_that_is_none__is_told_by_the_name_it_came_under() {
        let rest = "must be a whole number from 1 to 9, not \"x\""
        for (arguments, environment, name) in [
            (["--ws-port", "x"], [:], "--ws-port"), ([], ["RINGWAY_WS_PORT": "x"], "RINGWAY_WS_PORT"),
            (["--config", "f"], [:], "f, line 1: ws-port"),
        ] {
            let told = complaint { () throws(SettingsError) in
                try settings(arguments, environment, files: ["f": "ws-port = x"]).int("ws-port", in: 1...9)
            }
            #expect(told == "\(name) \(rest)")
        }
    }

    @Test func file_variable_of_what_is_no_secret__is_unknown() {
        #expect(complaint { () throws(SettingsError) in try settings([], ["RINGWAY_WS_PORT_FILE": "f"]) } != nil)
    }

    @Test func complaint_about_a_secret__does_not_quote_it() {
        let complaint = complaint { () throws(SettingsError) in try settings([], ["RINGWAY_DATABASE_ULR": "hunter2"]) }
        #expect(complaint?.contains("hunter2") == false)
    }

    @Test func malformed_line__is_told_with_its_number() {
        #expect(
            complaint { () throws(SettingsError) in try settings(["--config", "f"], files: ["f": "# x\n\nws-port 1"]) }
                == "f, line 3: expected name = value")
    }

    @Test func missing_file_value_or_dashes__are_told() {
        #expect(complaint { () throws(SettingsError) in try settings(["--config", "gone"]) } == "gone can't be read")
        #expect(
            complaint { () throws(SettingsError) in try settings([], ["RINGWAY_DATABASE_URL_FILE": "gone"]) }
                == "gone can't be read")
        #expect(complaint { () throws(SettingsError) in try settings(["--ws-port"]) } == "--ws-port needs a value")
        #expect(
            complaint { () throws(SettingsError) in try settings(["serve"]) } == "\"serve\" is not a flag; see --help")
    }

    // MARK: Values

    @Test(arguments: ["1", "65535"])
    func int_in_range__is_read(value: String) throws {
        #expect(try settings(["--ws-port", value]).int("ws-port", in: 1...65535) == Int(value))
    }

    @Test(arguments: ["0", "65536", "-1", "", "x", "1.5", " 7", "99999999999999999999"])
    func int_out_of_range__is_told_with_the_range(value: String) throws {
        let settings = try settings(["--ws-port=\(value)"])
        #expect(
            complaint { () throws(SettingsError) in try settings.int("ws-port", in: 1...65535) }
                == "--ws-port must be a whole number from 1 to 65535, not \"\(value)\"")
    }

    @Test func list__is_separated_by_commas() throws {
        #expect(try settings().list("ws-origins").isEmpty)
        #expect(try settings(["--ws-origins", " a, b ,,c"]).list("ws-origins") == ["a", "b", "c"])
    }

    @Test func help__names_each_setting_once_and_fits_a_terminal() {
        let long = Setting("a-name", default: "default", String(repeating: "many words ", count: 20))
        let lines = Settings.describe(Self.known + [long]).split(separator: "\n")
        let first = lines.filter { $0.hasPrefix("  --") }
        #expect(first.count == Self.known.count + 1)
        #expect(first.first?.contains("--ws-port") == true)
        #expect(first.first?.hasSuffix("(default: 7400)") == true)
        #expect(lines.last?.hasSuffix("(default: default)") == true)
        #expect(lines.allSatisfy { $0.count <= 80 })
        // What goes on in the next line stands under where it began.
        let column = lines[0].distance(from: lines[0].startIndex, to: lines[0].range(of: "the WebSocket")!.lowerBound)
        for line in lines where !line.hasPrefix("  --") { #expect(line.prefix { $0 == " " }.count == column) }
    }
}
