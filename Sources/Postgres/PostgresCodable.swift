// What a Swift value needs to travel as a parameter or a column, in Postgres' binary format. The scalar types of the
// module are in PostgresScalars.swift, arrays and optionals in PostgresArrays.swift.

/// A type of the server, by its OID in pg_type.
public struct PostgresType: Hashable, Sendable {
    public let oid: UInt32

    public init(oid: UInt32) {
        self.oid = oid
    }

    public static let bool = PostgresType(oid: 16)
    public static let bytea = PostgresType(oid: 17)
    public static let int8 = PostgresType(oid: 20)
    public static let int2 = PostgresType(oid: 21)
    public static let int4 = PostgresType(oid: 23)
    public static let text = PostgresType(oid: 25)
    public static let float4 = PostgresType(oid: 700)
    public static let float8 = PostgresType(oid: 701)
    public static let timestamptz = PostgresType(oid: 1184)
    public static let uuid = PostgresType(oid: 2950)

    public static let boolArray = PostgresType(oid: 1000)
    public static let byteaArray = PostgresType(oid: 1001)
    public static let int2Array = PostgresType(oid: 1005)
    public static let int4Array = PostgresType(oid: 1007)
    public static let textArray = PostgresType(oid: 1009)
    public static let int8Array = PostgresType(oid: 1016)
    public static let float8Array = PostgresType(oid: 1022)
    public static let timestamptzArray = PostgresType(oid: 1185)
    public static let uuidArray = PostgresType(oid: 2951)
}

/// A value that can be bound. Encode with the bytes that the server's binary input of `postgresType` expects.
public protocol PostgresEncodable: Sendable {
    static var postgresType: PostgresType { get }
    func encode(into writer: inout PostgresWriter)
}

/// A value that can be read from a column.
public protocol PostgresDecodable: Sendable {
    static func decode(_ cell: PostgresCell) throws(PostgresError) -> Self
}

/// One column of one row (or one element of an array in it), valid during `decode` only.
public struct PostgresCell {
    public let type: PostgresType
    /// Nil for NULL. Borrowed from the answer: copy what you keep.
    public let bytes: UnsafeRawBufferPointer?
    let name: ColumnName

    /// The bytes, or the error that a NULL deserves.
    public func value() throws(PostgresError) -> UnsafeRawBufferPointer {
        guard let bytes else { throw failure("NULL where a value is expected") }
        return bytes
    }

    /// A decoding error that names this column. Never put the value into `reason`.
    public func failure(_ reason: String) -> PostgresError {
        var error = PostgresError(.decoding, reason: reason)
        error.column = name.text
        return error
    }

    func mismatch<Wanted>(_ wanted: Wanted.Type) -> PostgresError {
        failure("a value of type OID \(type.oid) is no \(Wanted.self)")
    }

    /// Reads a big-endian integer; the caller has checked the length.
    func load<Integer: FixedWidthInteger>(_ type: Integer.Type, from bytes: UnsafeRawBufferPointer) -> Integer {
        Integer(bigEndian: bytes.loadUnaligned(as: Integer.self))
    }
}

/// A column's name, looked up only when an error needs it.
struct ColumnName {
    let storage: ResultStorage
    let index: Int

    var text: String { storage.columnName(index) }
}
