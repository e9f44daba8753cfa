// The one error of this module. Its description names what went wrong and never a value: not a key, not the URL, not the
// server's text beyond its first word. It may go to any log as it is.

public struct RedisError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What went wrong, as far as a caller would act differently. More codes may come: switch with a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Name: String {
            case unavailable, timeout, busy, server, configuration
        }

        private let name: Name

        /// There is no such session any more, or it ended under way. Whether the command took effect is unknown.
        public static let unavailable = Code(name: .unavailable)
        /// No answer in time, or answers are overdue already. Whether the command takes effect yet is unknown.
        public static let timeout = Code(name: .timeout)
        /// Too much is under way; nothing was sent.
        public static let busy = Code(name: .busy)
        /// The server refused the command; `kind` is the first word of what it said.
        public static let server = Code(name: .server)
        /// The URL can't be used.
        public static let configuration = Code(name: .configuration)

        public var description: String { name.rawValue }
    }

    public let code: Code
    /// Such as WRONGPASS, READONLY, OOM. Nil unless a server said so.
    public let kind: String?
    /// Our own words; free of data by construction.
    public let reason: String

    init(_ code: Code, kind: String? = nil, reason: String = "") {
        self.code = code
        self.kind = kind
        self.reason = reason
    }

    /// - Parameter words: the server's. What follows the first one may quote what it was sent.
    init(serverSaid words: String) {
        let first = words.prefix { $0.isASCII && ($0.isUppercase || $0.isNumber || $0 == "_") }
        self.init(.server, kind: first.isEmpty ? "ERR" : String(first.prefix(32)))
    }

    public var description: String {
        "Redis: \(code)" + (kind.map { " \($0)" } ?? "") + (reason.isEmpty ? "" : ": \(reason)")
    }

    static let sessionOver = RedisError(.unavailable, reason: "the session is over")
    static let overdue = RedisError(.timeout)
    static let full = RedisError(.busy, reason: "too much is under way")
}
