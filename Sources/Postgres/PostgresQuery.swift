// A statement and its parameters. The only way in for a value is a bind, so there is nothing to escape:
//
//     let query: PostgresQuery = "SELECT name FROM profile.profiles WHERE user_id = \(id)"
//
// The parameters are encoded into one byte arena while the literal is built, off the loop's thread.

/// SQL with `$1`... and the values that belong to them. A value that can't be sent (a NUL in a string, a date out of
/// Postgres' range) makes the call throw `.invalidParameter` before anything is sent.
public struct PostgresQuery: ExpressibleByStringInterpolation, Sendable {
    public let sql: String
    let parameters: PostgresParameters

    public init(stringLiteral value: String) {
        self.init(sql: value)
    }

    /// For statements that this module builds itself.
    init(sql: String) {
        self.sql = sql
        parameters = PostgresParameters()
    }

    private init(sql: String, parameters: PostgresParameters) {
        self.sql = sql
        self.parameters = parameters
    }

    /// Asks how the server would run this, with the same parameters: one row of text a line of the plan.
    public var explained: PostgresQuery { PostgresQuery(sql: "EXPLAIN " + sql, parameters: parameters) }

    public init(stringInterpolation: StringInterpolation) {
        sql = stringInterpolation.sql
        parameters = stringInterpolation.parameters
    }

    public struct StringInterpolation: StringInterpolationProtocol {
        var sql = ""
        var parameters = PostgresParameters()

        public init(literalCapacity: Int, interpolationCount: Int) {
            sql.reserveCapacity(literalCapacity + 3 * interpolationCount)
            parameters.reserve(interpolationCount)
        }

        public mutating func appendLiteral(_ literal: String) {
            sql += literal
        }

        /// Binds `value` and writes its `$n`.
        public mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value) {
            parameters.append(value)
            sql += "$\(parameters.count)"
        }

        /// The same for what may be absent: NULL.
        public mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            parameters.append(value)
            sql += "$\(parameters.count)"
        }

        /// Text of the program itself (a column list, an ORDER BY); a `StaticString` can't hold anyone's input.
        public mutating func appendInterpolation(unescaped text: StaticString) {
            sql += text.description
        }
    }

    /// Why this can't be sent, or nil. 65,535 is the wire's limit on parameters, 1 GiB the server's on a message.
    var defect: PostgresError? {
        if let reason = parameters.writer.defect {
            return PostgresError(.invalidParameter, reason: reason)
        }
        if parameters.count > Int(UInt16.max) {
            return PostgresError(.invalidParameter, reason: "more than 65535 parameters")
        }
        if parameters.writer.bytes.count > 1 << 30 {
            return PostgresError(.invalidParameter, reason: "more than 1 GiB of parameters")
        }
        return nil
    }
}

/// All parameters of a query, one behind the other in one arena.
struct PostgresParameters: Sendable {
    /// Where a parameter lies in the arena; `length` is -1 for NULL.
    struct Slot: Sendable {
        var offset: Int
        var length: Int32
    }

    private(set) var writer = PostgresWriter()
    private(set) var slots: [Slot] = []
    private(set) var types: [UInt32] = []

    var count: Int { slots.count }

    mutating func reserve(_ count: Int) {
        slots.reserveCapacity(count)
        types.reserveCapacity(count)
    }

    mutating func append<Value: PostgresEncodable>(_ value: Value) {
        let offset = writer.bytes.count
        value.encode(into: &writer)
        // A length beyond Int32 is refused as a defect of the whole query before the slot is ever read.
        let length = writer.takeNull() ? -1 : Int32(truncatingIfNeeded: writer.bytes.count - offset)
        slots.append(Slot(offset: offset, length: length))
        types.append(Value.postgresType.oid)
    }
}

/// Where values are written in Postgres' binary format (big endian).
public struct PostgresWriter: Sendable {
    private(set) var bytes: [UInt8] = []
    private(set) var defect: String?
    private var isNull = false

    public mutating func write<Integer: FixedWidthInteger>(_ value: Integer) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func write(bytes more: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: more)
    }

    /// The value being written is NULL.
    public mutating func writeNull() {
        isNull = true
    }

    /// The query can't be sent; the first reason wins. Never name the value here.
    public mutating func refuse(_ reason: String) {
        if defect == nil { defect = reason }
    }

    mutating func takeNull() -> Bool {
        defer { isNull = false }
        return isNull
    }

    /// Makes room for `count` bytes, growing by half at least: exact growth would copy the arena for each array.
    mutating func reserve(_ count: Int) {
        let needed = bytes.count + count
        if needed > bytes.capacity { bytes.reserveCapacity(max(needed, bytes.capacity + bytes.capacity / 2)) }
    }

    /// Writes a length in front of what `body` writes, or -1 if it wrote NULL. Says whether it did.
    mutating func writeSized(_ body: (inout PostgresWriter) -> Void) -> Bool {
        let start = bytes.count
        write(Int32(0))
        body(&self)
        let wasNull = takeNull()
        patch(wasNull ? -1 : Int32(truncatingIfNeeded: bytes.count - start - 4), at: start)
        return wasNull
    }

    mutating func patch(_ value: Int32, at offset: Int) {
        withUnsafeBytes(of: value.bigEndian) { bytes.replaceSubrange(offset..<(offset + 4), with: $0) }
    }
}
