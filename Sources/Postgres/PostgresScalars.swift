// The scalar types in Postgres' binary format, both ways. Integers widen when read (int2 as Int64) and narrow when the
// value fits; nothing else converts.
import FoundationEssentials

extension Bool: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .bool }

    public func encode(into writer: inout PostgresWriter) {
        writer.write(UInt8(self ? 1 : 0))
    }

    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Bool {
        let bytes = try cell.value()
        guard cell.type == .bool, bytes.count == 1 else { throw cell.mismatch(Bool.self) }
        return bytes[0] != 0
    }
}

extension PostgresCell {
    fileprivate func integer<Wanted: FixedWidthInteger>(_ wanted: Wanted.Type) throws(PostgresError) -> Wanted {
        let bytes = try value()
        let wide: Int64
        switch (type, bytes.count) {
        case (.int8, 8): wide = load(Int64.self, from: bytes)
        case (.int4, 4): wide = Int64(load(Int32.self, from: bytes))
        case (.int2, 2): wide = Int64(load(Int16.self, from: bytes))
        default: throw mismatch(Wanted.self)
        }
        guard let result = Wanted(exactly: wide) else { throw failure("an integer too large for \(Wanted.self)") }
        return result
    }
}

extension Int16: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .int2 }
    public func encode(into writer: inout PostgresWriter) { writer.write(self) }
    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int16 { try cell.integer(Int16.self) }
}

extension Int32: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .int4 }
    public func encode(into writer: inout PostgresWriter) { writer.write(self) }
    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int32 { try cell.integer(Int32.self) }
}

extension Int64: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .int8 }
    public func encode(into writer: inout PostgresWriter) { writer.write(self) }
    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int64 { try cell.integer(Int64.self) }
}

extension Int: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .int8 }
    public func encode(into writer: inout PostgresWriter) { writer.write(Int64(self)) }
    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Int { try cell.integer(Int.self) }
}

extension Double: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .float8 }

    public func encode(into writer: inout PostgresWriter) {
        writer.write(bitPattern)
    }

    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Double {
        let bytes = try cell.value()
        switch (cell.type, bytes.count) {
        case (.float8, 8): return Double(bitPattern: cell.load(UInt64.self, from: bytes))
        case (.float4, 4): return Double(Float(bitPattern: cell.load(UInt32.self, from: bytes)))
        default: throw cell.mismatch(Double.self)
        }
    }
}

extension String: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .text }

    public func encode(into writer: inout PostgresWriter) {
        var text = self
        text.withUTF8 { utf8 in
            if utf8.contains(0) { writer.refuse("a string holds a NUL character, which Postgres' text can't") }
            writer.write(bytes: UnsafeRawBufferPointer(utf8))
        }
    }

    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> String {
        var bytes = try cell.value()
        switch cell.type.oid {
        case 18, 19, 25, 114, 142, 705, 1042, 1043:  // "char", name, text, json, xml, unknown, bpchar, varchar
            break
        case 3802:  // jsonb: a version byte, then JSON text
            guard bytes.first == 1 else { throw cell.mismatch(String.self) }
            bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        case 16384...:  // a type of the database itself: enums and citext travel as text, and UTF-8 is checked below
            break
        default:
            throw cell.mismatch(String.self)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw cell.failure("text that is no UTF-8") }
        return text
    }
}

extension Data: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .bytea }

    public func encode(into writer: inout PostgresWriter) {
        withUnsafeBytes { writer.write(bytes: $0) }
    }

    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Data {
        let bytes = try cell.value()
        guard cell.type == .bytea else { throw cell.mismatch(Data.self) }
        return Data(bytes)
    }
}

/// timestamptz, in microseconds. `infinity` and `-infinity` read as `.distantFuture` and `.distantPast`, which are
/// written as the plain instants they are.
extension Date: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .timestamptz }

    /// From Postgres' epoch (2000-01-01) to Foundation's reference date (2001-01-01).
    private static let microsecondsBetweenEpochs: Int64 = 31_622_400_000_000
    /// 4714-11-24 BC and 294277-01-01, the bounds of timestamptz, in microseconds since 2000.
    private static let range: Range<Int64> = -211_813_488_000_000_000..<9_223_371_331_200_000_000

    public func encode(into writer: inout PostgresWriter) {
        guard let sinceReference = Int64(exactly: (timeIntervalSinceReferenceDate * 1_000_000).rounded()),
            case let (microseconds, overflow) = sinceReference.addingReportingOverflow(Date.microsecondsBetweenEpochs),
            !overflow, Date.range.contains(microseconds)
        else { return writer.refuse("a date outside of Postgres' range") }
        writer.write(microseconds)
    }

    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Date {
        let bytes = try cell.value()
        guard cell.type == .timestamptz, bytes.count == 8 else { throw cell.mismatch(Date.self) }
        switch cell.load(Int64.self, from: bytes) {
        case .max: return .distantFuture
        case .min: return .distantPast
        case let microseconds:
            return Date(timeIntervalSinceReferenceDate: Double(microseconds - microsecondsBetweenEpochs) / 1_000_000)
        }
    }
}

extension UUID: PostgresEncodable, PostgresDecodable {
    public static var postgresType: PostgresType { .uuid }

    public func encode(into writer: inout PostgresWriter) {
        withUnsafeBytes(of: uuid) { writer.write(bytes: $0) }
    }

    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> UUID {
        let bytes = try cell.value()
        guard cell.type == .uuid, bytes.count == 16 else { throw cell.mismatch(UUID.self) }
        return UUID(uuid: bytes.loadUnaligned(as: uuid_t.self))
    }
}
