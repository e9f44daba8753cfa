// Settings of the command: flags over RINGWAY_* variables (RINGWAY_*_FILE for secrets) over a file, each known by one
// name. A name that is not known is an error that tells the nearest one that is.

/// A setting's name as a flag writes it, e.g. "ws-port"; its variable is RINGWAY_WS_PORT, its line in a file
/// `ws-port = 7400`.
public struct Setting: Sendable {
    public let name: String
    public let fallback: String
    public let help: String
    public let isSecret: Bool

    public init(_ name: String, default fallback: String, secret: Bool = false, _ help: String) {
        self.name = name
        self.fallback = fallback
        self.help = help
        isSecret = secret
    }

    var variable: String {
        "RINGWAY_" + name.uppercased().split(separator: "-").joined(separator: "_")
    }
}

public struct SettingsError: Error, Sendable, CustomStringConvertible {
    public let description: String
}

public struct Settings: Sendable {
    /// `shown` is how a complaint names where the text came from: `--ws-port`, `RINGWAY_WS_PORT`.
    private struct Value {
        let text: String
        let shown: String
    }

    private let values: [String: Value]

    /// - Parameters:
    ///   - arguments: `--name value` or `--name=value`; `--config PATH` names the file.
    ///   - environment: variables with other prefixes are not looked at; `ignoring` lists those of ours that other
    ///     commands read.
    ///   - readFile: the text at a path.
    public init(
        _ known: [Setting], arguments: [String], environment: [String: String], ignoring: Set<String> = [],
        readFile: (String) throws -> String
    ) throws(SettingsError) {
        let flags = try Self.parse(arguments: arguments, known)
        var values = Dictionary(uniqueKeysWithValues: known.map { ($0.name, Value(text: $0.fallback, shown: "--\($0.name)")) })
        if let path = flags["config"]?.text ?? environment["RINGWAY_CONFIG"] {
            values.merge(try Self.parse(file: Self.read(path, readFile), path, known)) { $1 }
        }
        values.merge(try Self.parse(environment: environment, known, ignoring, readFile)) { $1 }
        values.merge(flags) { $1 }
        self.values = values
    }

    // MARK: Reading them

    public func string(_ name: String) -> String {
        value(name).text
    }

    public func int(_ name: String, in range: ClosedRange<Int>) throws(SettingsError) -> Int {
        let value = value(name)
        guard let number = Int(value.text), range.contains(number) else {
            throw SettingsError(
                description: "\(value.shown) must be a whole number from \(range.lowerBound) to \(range.upperBound), "
                    + "not \"\(value.text)\"")
        }
        return number
    }

    private func value(_ name: String) -> Value {
        guard let value = values[name] else { preconditionFailure("setting \(name) is not declared") }
        return value
    }

    /// Separated by commas; empty: none.
    public func list(_ name: String) -> [String] {
        string(name).split(separator: ",").map { String($0.trimmed) }.filter { !$0.isEmpty }
    }

    /// Every setting with what it means, for --help: no line is wider than a terminal of 80 columns.
    public static func describe(_ known: [Setting]) -> String {
        let width = known.map(\.name.count).max() ?? 0
        return known.map { setting in
            let fallback = setting.fallback.isEmpty ? [] : ["(default: \(setting.fallback))"]
            let words = setting.help.split(separator: " ").map(String.init) + fallback
            let lines = words.reduce(into: [String]()) { lines, word in
                if let line = lines.last, width + 6 + line.count + 1 + word.count <= 80 {
                    lines[lines.count - 1] = "\(line) \(word)"
                } else {
                    lines.append(word)
                }
            }
            let indent = String(repeating: " ", count: width + 6)
            return "  --\(setting.name.padding(to: width))  " + lines.joined(separator: "\n\(indent)")
        }.joined(separator: "\n")
    }

    // MARK: The three sources

    private static func parse(arguments: [String], _ known: [Setting]) throws(SettingsError) -> [String: Value] {
        var values: [String: Value] = [:]
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--") else {
                throw SettingsError(description: "\"\(argument)\" is not a flag; see --help")
            }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            if name != "config" { try check(name, shown: "--\(name)", known) { "--\($0)" } }
            guard let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() else {
                throw SettingsError(description: "--\(name) needs a value")
            }
            values[name] = Value(text: value, shown: "--\(name)")
        }
        return values
    }

    private static func parse(
        environment: [String: String], _ known: [Setting], _ ignoring: Set<String>, _ readFile: (String) throws -> String
    ) throws(SettingsError) -> [String: Value] {
        var values: [String: Value] = [:]
        for (variable, value) in environment.sorted(by: { $0.key < $1.key }) {
            guard variable.hasPrefix("RINGWAY_"), variable != "RINGWAY_CONFIG", !ignoring.contains(variable) else {
                continue
            }
            let secret = known.first { $0.isSecret && $0.variable + "_FILE" == variable }
            if let secret {
                values[secret.name] = Value(text: String(try read(value, readFile).trimmed), shown: variable)
                continue
            }
            let name = variable.dropFirst(8).lowercased().split(separator: "_").joined(separator: "-")
            try check(name, shown: variable, known) { name in Setting(name, default: "", "").variable }
            values[name] = Value(text: value, shown: variable)
        }
        return values
    }

    private static func parse(
        file text: String, _ path: String, _ known: [Setting]
    ) throws(SettingsError) -> [String: Value] {
        var values: [String: Value] = [:]
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = line.trimmed
            if line.isEmpty || line.hasPrefix("#") { continue }
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw SettingsError(description: "\(path), line \(index + 1): expected name = value")
            }
            let name = String(parts[0].trimmed)
            let shown = "\(path), line \(index + 1): \(name)"
            try check(name, shown: shown, known) { $0 }
            values[name] = Value(text: String(parts[1].trimmed), shown: shown)
        }
        return values
    }

    private static func read(_ path: String, _ readFile: (String) throws -> String) throws(SettingsError) -> String {
        do {
            return try readFile(path)
        } catch {
            throw SettingsError(description: "\(path) can't be read")
        }
    }

    private static func check(
        _ name: String, shown: String, _ known: [Setting], suggestion: (String) -> String
    ) throws(SettingsError) {
        if known.contains(where: { $0.name == name }) { return }
        let nearest = (known.map(\.name) + ["config"]).min { distance($0, name) < distance($1, name) } ?? "help"
        throw SettingsError(description: "\(shown) is not a setting; did you mean \(suggestion(nearest))?")
    }

    /// Levenshtein's distance, on names that are short.
    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right.utf8.prefix(64))
        var row = Array(0...right.count)
        for (index, byte) in left.utf8.prefix(64).enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in right.indices {
                let cost = min(row[column], row[column + 1]) + 1
                let replaced = diagonal + (byte == right[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = min(cost, replaced)
            }
        }
        return row[right.count]
    }
}

extension StringProtocol {
    fileprivate var trimmed: SubSequence {
        guard let first = firstIndex(where: { !$0.isWhitespace }),
            let last = lastIndex(where: { !$0.isWhitespace })
        else { return self[endIndex...] }
        return self[first...last]
    }
}

extension String {
    fileprivate func padding(to width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - count))
    }
}
