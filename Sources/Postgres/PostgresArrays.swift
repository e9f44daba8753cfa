// Optionals and one-dimensional arrays. `[UInt8]` is bytea, not an array; arrays of optionals carry NULLs, which is
// what a batch through UNNEST needs.
import FoundationEssentials

extension Optional: PostgresEncodable where Wrapped: PostgresEncodable {
    public static var postgresType: PostgresType { Wrapped.postgresType }

    public func encode(into writer: inout PostgresWriter) {
        switch self {
        case .some(let value): value.encode(into: &writer)
        case .none: writer.writeNull()
        }
    }
}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> Wrapped? {
        cell.bytes == nil ? nil : try Wrapped.decode(cell)
    }
}

/// What an `Array` may hold to be a parameter or a column. One protocol for both directions and for `UInt8`, because a
/// type can conform to `PostgresEncodable` in one way only, and `[UInt8]` is not an array to Postgres.
public protocol PostgresArrayElement: Sendable {
    static var postgresArrayType: PostgresType { get }
    static func encodeArray(_ elements: [Self], into writer: inout PostgresWriter)
    static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Self]
}

extension Array: PostgresEncodable where Element: PostgresArrayElement {
    public static var postgresType: PostgresType { Element.postgresArrayType }

    public func encode(into writer: inout PostgresWriter) {
        Element.encodeArray(self, into: &writer)
    }
}

extension Array: PostgresDecodable where Element: PostgresArrayElement {
    public static func decode(_ cell: PostgresCell) throws(PostgresError) -> [Element] {
        try Element.decodeArray(cell)
    }
}

extension UInt8: PostgresArrayElement {
    public static var postgresArrayType: PostgresType { .bytea }

    public static func encodeArray(_ elements: [UInt8], into writer: inout PostgresWriter) {
        elements.withUnsafeBytes { writer.write(bytes: $0) }
    }

    public static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [UInt8] {
        let bytes = try cell.value()
        guard cell.type == .bytea else { throw cell.mismatch([UInt8].self) }
        return Array(bytes)
    }
}

extension Bool: PostgresArrayElement { public static var postgresArrayType: PostgresType { .boolArray } }
extension Int16: PostgresArrayElement { public static var postgresArrayType: PostgresType { .int2Array } }
extension Int32: PostgresArrayElement { public static var postgresArrayType: PostgresType { .int4Array } }
extension Int64: PostgresArrayElement { public static var postgresArrayType: PostgresType { .int8Array } }
extension Int: PostgresArrayElement { public static var postgresArrayType: PostgresType { .int8Array } }
extension Double: PostgresArrayElement { public static var postgresArrayType: PostgresType { .float8Array } }
extension String: PostgresArrayElement { public static var postgresArrayType: PostgresType { .textArray } }
extension Date: PostgresArrayElement { public static var postgresArrayType: PostgresType { .timestamptzArray } }
extension UUID: PostgresArrayElement { public static var postgresArrayType: PostgresType { .uuidArray } }
extension Data: PostgresArrayElement { public static var postgresArrayType: PostgresType { .byteaArray } }

extension Array: PostgresArrayElement where Element == UInt8 {
    public static var postgresArrayType: PostgresType { .byteaArray }
}

extension Optional: PostgresArrayElement
where Wrapped: PostgresArrayElement & PostgresEncodable & PostgresDecodable {
    public static var postgresArrayType: PostgresType { Wrapped.postgresArrayType }
}

extension PostgresType {
    /// An array of a built-in type, or a type of the database itself (an array of an enum); the elements' own type is
    /// checked when they are decoded.
    fileprivate var isArray: Bool {
        switch oid {
        case 199, 1000...1003, 1005, 1007, 1009, 1014...1016, 1021, 1022, 1185, 2951, 3807, 16384...: true
        default: false
        }
    }
}

/// The header of an array's binary format: dimensions, whether it holds NULLs, the element's OID; and for each
/// dimension its length and first index.
private let arrayHeaderBytes = 20

extension PostgresArrayElement where Self: PostgresEncodable & PostgresDecodable {
    public static func encodeArray(_ elements: [Self], into writer: inout PostgresWriter) {
        writer.reserve(arrayHeaderBytes + elements.count * (4 + MemoryLayout<Self>.size))
        let start = writer.bytes.count
        writer.write(Int32(elements.isEmpty ? 0 : 1))
        writer.write(Int32(0))
        writer.write(Self.postgresType.oid)
        if elements.isEmpty { return }
        writer.write(Int32(truncatingIfNeeded: elements.count))
        writer.write(Int32(1))
        var holdsNulls = false
        for element in elements where writer.writeSized({ element.encode(into: &$0) }) {
            holdsNulls = true
        }
        if holdsNulls { writer.patch(1, at: start + 4) }
    }

    public static func decodeArray(_ cell: PostgresCell) throws(PostgresError) -> [Self] {
        let bytes = try cell.value()
        guard cell.type.isArray, bytes.count >= 12 else { throw cell.mismatch([Self].self) }
        func word(at offset: Int) -> Int32 {
            Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self))
        }

        let elementType = PostgresType(oid: UInt32(bitPattern: word(at: 8)))
        switch word(at: 0) {
        case 0: return []
        case 1 where bytes.count >= arrayHeaderBytes: break
        default: throw cell.failure("an array of several dimensions")
        }
        let count = Int(word(at: 12))
        // Each element takes four bytes at least: a count beyond that is no array, whatever the column's type says.
        guard count >= 0, count <= (bytes.count - arrayHeaderBytes) / 4 else { throw cell.mismatch([Self].self) }

        var elements: [Self] = []
        elements.reserveCapacity(count)
        var offset = arrayHeaderBytes
        for _ in 0..<count {
            guard offset + 4 <= bytes.count else { throw cell.mismatch([Self].self) }
            let length = Int(word(at: offset))
            offset += 4
            guard length >= 0 else {
                elements.append(try Self.decode(PostgresCell(type: elementType, bytes: nil, name: cell.name)))
                continue
            }
            guard offset + length <= bytes.count else { throw cell.mismatch([Self].self) }
            let element = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)])
            elements.append(try Self.decode(PostgresCell(type: elementType, bytes: element, name: cell.name)))
            offset += length
        }
        return elements
    }
}
