// What the messages of a method are, for a caller that learns the method's name at run time. The table of all of them
// is generated (Generated/ringway_v1_methods.swift).
import SwiftProtobuf

public struct MethodTypes: Sendable {
    public let request: any Message.Type
    public let response: any Message.Type

    init(_ request: any Message.Type, _ response: any Message.Type) {
        self.request = request
        self.response = response
    }
}
