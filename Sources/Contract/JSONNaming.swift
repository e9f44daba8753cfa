// What JSON calls the fields of a message and the values of an enum, for whoever writes a message that is known at run time.
// The table of all types is generated (Generated/ringway_v1_json.swift).

public struct JSONNaming: Sendable {
    /// `"name":` of a field by its number, or `"NAME"` of a value by its own, as they are written.
    public let texts: [StaticString?]
    /// Of every message and enum of the contract; none of another's.
    public static let byType: [ObjectIdentifier: JSONNaming] = Dictionary(
        uniqueKeysWithValues: types.map { (ObjectIdentifier($0.type), $0) })

    let type: Any.Type

    init(_ type: Any.Type, _ texts: [Int: StaticString]) {
        self.type = type
        self.texts = (0...(texts.keys.max() ?? 0)).map { texts[$0] }
    }
}
