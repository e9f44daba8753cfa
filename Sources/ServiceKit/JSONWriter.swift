// Writes the contract's messages as proto3 JSON: the very bytes of SwiftProtobuf's own encoder, in a fraction of its time.
// That one looks for conformances at each nested message and makes a String of each time and number, which was most of
// what a list cost. What is not the contract's (Struct, FieldMask) is left to it. A test holds the two against each other.
import Contract
import FoundationEssentials
import SwiftProtobuf

extension Message {
    /// As every door says it.
    public func jsonAnswer() throws -> [UInt8] {
        guard let naming = JSONNaming.byType[ObjectIdentifier(Self.self)] else { return try jsonUTF8Bytes() }
        var writer = JSONWriter(naming)
        try writer.object(self)
        return writer.bytes
    }
}

private struct JSONWriter: Visitor {
    private(set) var bytes: [UInt8] = []
    /// Of the message whose fields come next.
    private var naming: JSONNaming
    /// Nothing has come yet of the object or list under way.
    private var isFirst = true

    init(_ naming: JSONNaming) {
        self.naming = naming
        bytes.reserveCapacity(256)
    }

    // MARK: The parts of JSON

    mutating func object(_ message: some Message) throws {
        bytes.append(UInt8(ascii: "{"))
        isFirst = true
        try message.traverse(visitor: &self)
        bytes.append(UInt8(ascii: "}"))
        isFirst = false
    }

    private mutating func comma() {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        isFirst = false
    }

    private mutating func field(_ number: Int) throws {
        comma()
        guard naming.texts.indices.contains(number), let name = naming.texts[number] else {
            throw JSONEncodingError.missingFieldNames
        }
        append(name)
    }

    private mutating func list<Element>(
        _ elements: [Element], _ number: Int, write: (inout Self, Element) throws -> Void
    ) throws {
        try field(number)
        bytes.append(UInt8(ascii: "["))
        isFirst = true
        for element in elements {
            comma()
            try write(&self, element)
        }
        bytes.append(UInt8(ascii: "]"))
        isFirst = false
    }

    private mutating func append(_ text: StaticString) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func number(_ value: some BinaryInteger) {
        let magnitude = UInt64(value.magnitude)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var (rest, start) = (magnitude, digits.count)
            repeat {
                start -= 1
                digits[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            if value < 0 { bytes.append(UInt8(ascii: "-")) }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: digits[start...]))
        }
    }

    /// What needs more than 32 bits is a string: JSON's numbers are doubles.
    private mutating func wideNumber(_ value: some BinaryInteger) {
        bytes.append(UInt8(ascii: "\""))
        number(value)
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func decimal(_ value: some BinaryFloatingPoint & CustomDebugStringConvertible) {
        if value.isFinite { return bytes.append(contentsOf: value.debugDescription.utf8) }
        append(value.isNaN ? #""NaN""# : value < 0 ? #""-Infinity""# : #""Infinity""#)
    }

    private mutating func truth(_ value: Bool) { append(value ? "true" : "false") }

    private mutating func string(_ value: String) {
        bytes.append(UInt8(ascii: "\""))
        var value = value
        value.withUTF8 { text in
            // The C1 controls, U+0080 to U+009F, begin with this byte; what else begins with it is written as it is.
            let needsEscape = { (byte: UInt8) in byte < 0x20 || byte == 0x22 || byte == 0x5c || byte == 0x7f || byte == 0xc2 }
            if text.contains(where: needsEscape) { escaped(text) } else { bytes.append(contentsOf: text) }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func escaped(_ text: UnsafeBufferPointer<UInt8>) {
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            switch scalar.value {
            case 0x08: append("\\b")
            case 0x09: append("\\t")
            case 0x0a: append("\\n")
            case 0x0c: append("\\f")
            case 0x0d: append("\\r")
            case 0x22: append("\\\"")
            case 0x5c: append("\\\\")
            case 0x00...0x1f, 0x7f...0x9f:
                append("\\u00")
                for digit in [scalar.value >> 4, scalar.value & 15] {
                    bytes.append(UInt8(digit) + UInt8(ascii: digit < 10 ? "0" : "7"))
                }
            default: bytes.append(contentsOf: UTF8.encode(scalar)!)
            }
        }
    }

    private mutating func data(_ value: Data) {
        bytes.append(UInt8(ascii: "\""))
        bytes.append(contentsOf: value.base64EncodedString().utf8)
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func value<Case: Enum>(_ value: Case, _ naming: JSONNaming?) {
        guard let texts = naming?.texts, texts.indices.contains(value.rawValue), let text = texts[value.rawValue] else {
            return number(value.rawValue)
        }
        append(text)
    }

    private mutating func message<Nested: Message>(_ message: Nested, _ inner: JSONNaming?) throws {
        if Nested.self == Google_Protobuf_Timestamp.self {
            return try time(unsafeBitCast(message, to: Google_Protobuf_Timestamp.self))
        }
        guard let inner else { return bytes += try message.jsonUTF8Bytes() as [UInt8] }
        let outer = naming
        naming = inner
        try object(message)
        naming = outer
    }

    // MARK: Times

    /// RFC 3339 in UTC, with 0, 3, 6 or 9 digits after the point. Years 1 to 9999.
    private mutating func time(_ time: Google_Protobuf_Timestamp) throws {
        guard (-62_135_596_800...253_402_300_799).contains(time.seconds), (0...999_999_999).contains(time.nanos) else {
            throw JSONEncodingError.timestampRange
        }
        // Counted from 1 March of the year 0, so that a leap day is the last day of its year, and 400 years from there are
        // an era.
        let sinceStart = UInt64(time.seconds + 719_468 * 86_400)
        let (day, second) = sinceStart.quotientAndRemainder(dividingBy: 86_400)
        let (era, dayOfEra) = day.quotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let isNextYear = month >= 10
        bytes.append(UInt8(ascii: "\""))
        padded(era * 400 + yearOfEra + (isNextYear ? 1 : 0), 4, then: "-")
        padded(isNextYear ? month - 9 : month + 3, 2, then: "-")
        padded(dayOfYear - (153 * month + 2) / 5 + 1, 2, then: "T")
        padded(second / 3600, 2, then: ":")
        padded(second / 60 % 60, 2, then: ":")
        var (fraction, places) = (UInt64(time.nanos), 9)
        padded(second % 60, 2, then: fraction == 0 ? "Z" : ".")
        if fraction > 0 {
            while fraction % 1000 == 0 { (fraction, places) = (fraction / 1000, places - 3) }
            padded(fraction, places, then: "Z")
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func padded(_ value: UInt64, _ places: Int, then end: Unicode.Scalar) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: places + 1) { digits in
            var rest = value
            for place in (0..<places).reversed() {
                digits[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            digits[places] = UInt8(ascii: end)
            bytes.append(contentsOf: UnsafeBufferPointer(digits))
        }
    }
}

// MARK: Fields as SwiftProtobuf visits them

extension JSONWriter {
    func visitUnknown(bytes: Data) {}

    mutating func visitSingularFloatField(value: Float, fieldNumber: Int) throws {
        try field(fieldNumber)
        decimal(value)
    }

    mutating func visitSingularDoubleField(value: Double, fieldNumber: Int) throws {
        try field(fieldNumber)
        decimal(value)
    }

    mutating func visitSingularInt32Field(value: Int32, fieldNumber: Int) throws {
        try field(fieldNumber)
        number(value)
    }

    mutating func visitSingularUInt32Field(value: UInt32, fieldNumber: Int) throws {
        try field(fieldNumber)
        number(value)
    }

    mutating func visitSingularInt64Field(value: Int64, fieldNumber: Int) throws {
        try field(fieldNumber)
        wideNumber(value)
    }

    mutating func visitSingularUInt64Field(value: UInt64, fieldNumber: Int) throws {
        try field(fieldNumber)
        wideNumber(value)
    }

    mutating func visitSingularBoolField(value: Bool, fieldNumber: Int) throws {
        try field(fieldNumber)
        truth(value)
    }

    mutating func visitSingularStringField(value: String, fieldNumber: Int) throws {
        try field(fieldNumber)
        string(value)
    }

    mutating func visitSingularBytesField(value: Data, fieldNumber: Int) throws {
        try field(fieldNumber)
        data(value)
    }

    mutating func visitSingularEnumField<E: Enum>(value: E, fieldNumber: Int) throws {
        try field(fieldNumber)
        self.value(value, JSONNaming.byType[ObjectIdentifier(E.self)])
    }

    mutating func visitSingularMessageField<M: Message>(value: M, fieldNumber: Int) throws {
        try field(fieldNumber)
        try message(value, JSONNaming.byType[ObjectIdentifier(M.self)])
    }

    // Lists of the integers that the contract has. (Single ones of its other forms would come here by themselves.)

    mutating func visitRepeatedFloatField(value: [Float], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.decimal($1) }
    }

    mutating func visitRepeatedDoubleField(value: [Double], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.decimal($1) }
    }

    mutating func visitRepeatedInt32Field(value: [Int32], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.number($1) }
    }

    mutating func visitRepeatedUInt32Field(value: [UInt32], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.number($1) }
    }

    mutating func visitRepeatedInt64Field(value: [Int64], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.wideNumber($1) }
    }

    mutating func visitRepeatedUInt64Field(value: [UInt64], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.wideNumber($1) }
    }

    mutating func visitRepeatedBoolField(value: [Bool], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.truth($1) }
    }

    mutating func visitRepeatedStringField(value: [String], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.string($1) }
    }

    mutating func visitRepeatedBytesField(value: [Data], fieldNumber: Int) throws {
        try list(value, fieldNumber) { $0.data($1) }
    }

    mutating func visitRepeatedEnumField<E: Enum>(value: [E], fieldNumber: Int) throws {
        let naming = JSONNaming.byType[ObjectIdentifier(E.self)]
        try list(value, fieldNumber) { $0.value($1, naming) }
    }

    mutating func visitRepeatedMessageField<M: Message>(value: [M], fieldNumber: Int) throws {
        let naming = JSONNaming.byType[ObjectIdentifier(M.self)]
        try list(value, fieldNumber) { try $0.message($1, naming) }
    }

    // The contract's maps are from text to text, and are written by their keys' order: one message has one text.

    mutating func visitMapField<Key, Value: MapValueType>(
        fieldType: _ProtobufMap<Key, Value>.Type, value: _ProtobufMap<Key, Value>.BaseType, fieldNumber: Int
    ) throws {
        guard let texts = value as? [String: String] else { throw JSONEncodingError.missingFieldNames }
        try field(fieldNumber)
        bytes.append(UInt8(ascii: "{"))
        isFirst = true
        for (key, text) in texts.sorted(by: { $0.key < $1.key }) {
            comma()
            string(key)
            bytes.append(UInt8(ascii: ":"))
            string(text)
        }
        bytes.append(UInt8(ascii: "}"))
        isFirst = false
    }

    mutating func visitMapField<Key, Value: Enum>(
        fieldType: _ProtobufEnumMap<Key, Value>.Type, value: _ProtobufEnumMap<Key, Value>.BaseType, fieldNumber: Int
    ) throws where Value.RawValue == Int {
        throw JSONEncodingError.missingFieldNames
    }

    mutating func visitMapField<Key, Value: Message>(
        fieldType: _ProtobufMessageMap<Key, Value>.Type, value: _ProtobufMessageMap<Key, Value>.BaseType, fieldNumber: Int
    ) throws where Value: Hashable {
        throw JSONEncodingError.missingFieldNames
    }
}
