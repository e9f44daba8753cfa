// The one error of this module. Its description names codes, constraints, tables and columns, and never a value: not
// a parameter, not a row, not the server's text about them, not the URL. It may go to any log as it is.
//
// Catch it with a plain `catch { ... }` and an `if` or `guard` inside: Swift 6.3.1 crashes on `catch ... where` around
// an async call that throws a concrete error and takes an interpolated query.

public struct PostgresError: Error, Sendable {
    /// What went wrong, as far as a caller would act differently. More codes may come: switch with a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Name: String {
            case unavailable, timeout, cancelled, server, decoding, poolExhausted, invalidParameter
        }

        private let name: Name

        /// No connection could be made, or it was lost under way. Whether the statement took effect is unknown.
        public static let unavailable = Code(name: .unavailable)
        /// The deadline passed (or the server's statement_timeout). Whether the statement took effect is unknown.
        public static let timeout = Code(name: .timeout)
        /// The calling task was cancelled. Whether the statement took effect is unknown.
        public static let cancelled = Code(name: .cancelled)
        /// The server refused the statement; `sqlState` says why. Nothing of it took effect.
        public static let server = Code(name: .server)
        /// The answer is not what the caller asked to decode.
        public static let decoding = Code(name: .decoding)
        /// No connection became free in time, or too many callers wait already. Nothing was sent.
        public static let poolExhausted = Code(name: .poolExhausted)
        /// A parameter or the configuration can't be sent as it is. Nothing was sent.
        public static let invalidParameter = Code(name: .invalidParameter)

        public var description: String { name.rawValue }
    }

    public let code: Code
    /// Five characters, see Postgres' appendix A. Nil unless a server said so.
    public var sqlState: String?
    public var constraint: String?
    public var table: String?
    public var column: String?
    /// The server's own words. They may quote values: for a developer's eyes, never for a log or a client.
    public var serverMessage: String?
    /// Our own words, or libpq's when it can't connect; free of data and of passwords by construction.
    public let reason: String

    public init(
        _ code: Code, reason: String = "", sqlState: String? = nil, constraint: String? = nil, table: String? = nil
    ) {
        self.code = code
        self.reason = reason
        self.sqlState = sqlState
        self.constraint = constraint
        self.table = table
    }

    /// A serialization failure or a deadlock: the whole transaction may be tried again.
    public var isConflict: Bool {
        code == .server && (sqlState == "40001" || sqlState == "40P01")
    }
}

extension PostgresError: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String {
        var text = "Postgres: \(code)"
        if let sqlState {
            text += " \(sqlState)"
            if let name = Self.conditionNames[sqlState] { text += " (\(name))" }
        }
        if let constraint { text += ", constraint \(constraint)" }
        if let table { text += ", table \(table)" }
        if let column { text += ", column \(column)" }
        if !reason.isEmpty { text += ": \(reason)" }
        return text
    }

    public var debugDescription: String { description }

    /// `dump` and the like see the description too, not `serverMessage`.
    public var customMirror: Mirror { Mirror(self, children: ["description": description]) }

    /// Names for the conditions that operators meet; the rest is in Postgres' appendix A.
    private static let conditionNames = [
        "0A000": "feature_not_supported", "22001": "string_data_right_truncation",
        "22003": "numeric_value_out_of_range", "22P02": "invalid_text_representation",
        "23502": "not_null_violation", "23503": "foreign_key_violation", "23505": "unique_violation",
        "23514": "check_violation", "25006": "read_only_sql_transaction", "25P02": "in_failed_sql_transaction",
        "40001": "serialization_failure", "40P01": "deadlock_detected", "42501": "insufficient_privilege",
        "42601": "syntax_error", "42703": "undefined_column", "42P01": "undefined_table",
        "53300": "too_many_connections", "55P03": "lock_not_available", "57014": "query_canceled",
        "57P01": "admin_shutdown",
    ]
}
