// Where Redis is, and how patiently it is waited for. Plain values; never logged, because there may be a password in them.

public struct RedisConfiguration: Sendable {
    public enum Address: Sendable, Equatable {
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    public let address: Address
    let user: String?
    let password: String?
    public let database: Int

    /// Ready to be run by their sums in every session.
    public var scripts: [RedisScript] = []
    /// For looking up the host, each of its addresses, and logging in.
    public var connectTimeout: Duration = .seconds(2)
    /// A session whose server has said nothing for so long, though it was asked, is over.
    public var silence: Duration = .seconds(1)
    /// Commands under way at once, and what they may hold; one more is refused.
    public var commandsMax = 10_000
    public var bytesMax = 16 << 20
    /// Seen in CLIENT LIST.
    public var clientName = "ringway"

    /// - Parameter url: `redis://[[user]:password@]host[:port][/database]` or `unix://[[user]:password@]/path[?db=database]`;
    ///   reserved characters in user, password and path are percent-encoded.
    public init(url: String) throws(RedisError) {
        func refused(_ reason: String) -> RedisError { RedisError(.configuration, reason: reason) }

        guard let scheme = url.firstRange(of: "://") else { throw refused("the URL must begin with redis:// or unix://") }
        var rest = url[scheme.upperBound...]
        var credentials: Substring?
        if let at = rest.firstIndex(of: "@") {
            credentials = rest[..<at]
            rest = rest[rest.index(after: at)...]
            // Behind an unescaped "@" or "/" the rest of a password would pass for a host, and be told to everyone.
            guard !rest.contains("@"), credentials?.contains("/") == false else {
                throw refused("an '@' or '/' in the URL's password must be written %40 or %2F")
            }
        }
        (user, password) = try Self.parse(credentials: credentials)

        switch url[..<scheme.lowerBound] {
        case "redis":
            let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            address = try Self.parse(host: parts[0])
            database = try Self.parse(database: parts.count == 2 ? parts[1] : "")
        case "unix":
            let parts = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
            guard let path = Self.decoded(parts[0]), path.hasPrefix("/"), path.utf8.count <= 107 else {
                throw refused("the URL's socket must be an absolute path of at most 107 bytes")
            }
            let query = parts.count == 2 ? parts[1] : "db=0"
            guard query.hasPrefix("db=") else { throw refused("the URL's query can only be db=NUMBER") }
            address = .unix(path: path)
            database = try Self.parse(database: query.dropFirst(3))
        case "rediss":
            throw refused("TLS is not supported; use a private network or a tunnel, and redis://")
        default:
            throw refused("the URL must begin with redis:// or unix://")
        }
    }

    private static func parse(credentials: Substring?) throws(RedisError) -> (user: String?, password: String?) {
        guard let credentials else { return (nil, nil) }
        let parts = credentials.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let user = decoded(parts[0]), let password = decoded(parts[1]), !password.isEmpty else {
            throw RedisError(.configuration, reason: "before the URL's '@' belongs [user]:password, percent-encoded")
        }
        return (user.isEmpty ? nil : user, password)
    }

    private static func parse(host text: Substring) throws(RedisError) -> Address {
        var host = text
        var port = 6379
        if let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") {
            guard let number = Int(text[text.index(after: colon)...]), (1...65_535).contains(number) else {
                throw RedisError(.configuration, reason: "the URL's port must be a number from 1 to 65535")
            }
            host = text[..<colon]
            port = number
        }
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        let isName = host.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || ".-_:".contains($0)) }
        guard !host.isEmpty, host.utf8.count <= 253, isName else {
            throw RedisError(.configuration, reason: "the URL's host must be a name or an address")
        }
        return .tcp(host: String(host), port: port)
    }

    private static func parse(database text: Substring) throws(RedisError) -> Int {
        if text.isEmpty { return 0 }
        guard let number = Int(text), (0...65_535).contains(number) else {
            throw RedisError(.configuration, reason: "the URL's database must be a number")
        }
        return number
    }

    /// Percent-decoded; nil when it is not well-formed.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Substring(text).utf8
        while let byte = rest.popFirst() {
            if byte != UInt8(ascii: "%") {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let value = UInt8(String(Substring(digits)), radix: 16), value != 0 else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

/// Lua that runs in the server as one step.
public struct RedisScript: Hashable, Sendable {
    public let name: String
    public let text: String

    public init(_ name: String, _ text: String) {
        self.name = name
        self.text = text
    }
}
