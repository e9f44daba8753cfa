// gRPC's server reflection: what a client without .proto files asks. Answers come from the description of the contract that
// `make proto` writes beside the generated code; they are made once, so that an answer costs its bytes and no more.
import Contract
import Foundation
import GRPCCore
import GRPCProtobuf
import ServiceKit
import SwiftProtobuf

/// grpc.reflection.v1 and v1alpha, whose messages are the same. For the network's door.
public struct ReflectionService: RegistrableRPCService {
    typealias Question = Grpc_Reflection_V1_ServerReflectionRequest
    typealias Answer = Grpc_Reflection_V1_ServerReflectionResponse

    /// Streams at a time, and questions of one: they need no token, so their number is what bounds them.
    private static let streamsMax = 100
    private static let questionsMax = 1000

    private let description: ContractDescription
    private let streams = Places(Self.streamsMax)

    public init() {
        description = ContractDescription(fileDescriptorSet: contractDescription)
    }

    public func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        for version in ["v1", "v1alpha"] {
            let method = MethodDescriptor(
                fullyQualifiedService: "grpc.reflection.\(version).ServerReflection", method: "ServerReflectionInfo")
            router.registerHandler(
                forMethod: method, deserializer: ProtobufDeserializer<Question>(), serializer: ProtobufSerializer<Answer>()
            ) { [self] request, _ in
                StreamingServerResponse { writer in
                    guard streams.enter() else {
                        throw RPCError(
                            code: .resourceExhausted, message: "\(Self.streamsMax) streams are open; try again",
                            metadata: .retry(after: .seconds(1)))
                    }
                    defer { streams.leave() }
                    try await answer(request.messages, to: writer)
                    return [:]
                }
            }
        }
    }

    private func answer(_ questions: RPCAsyncSequence<Question, any Error>, to writer: RPCWriter<Answer>) async throws {
        var count = 0
        for try await question in questions {
            count += 1
            guard count <= Self.questionsMax else {
                throw RPCError(code: .resourceExhausted, message: "a stream has at most \(Self.questionsMax) questions")
            }
            try await writer.write(description.answer(to: question))
        }
    }
}

/// The contract's files, by their names and by what they define.
struct ContractDescription: Sendable {
    typealias Answer = Grpc_Reflection_V1_ServerReflectionResponse.OneOf_MessageResponse

    /// Each file's answer: itself, then what it imports, serialized.
    private let answers: [String: Answer]
    private let fileOfSymbol: [String: String]
    private let messages: Set<String>
    private let services: Answer

    init(fileDescriptorSet bytes: [UInt8]) {
        // Our own file, held by a test to be one.
        let files = (try? Google_Protobuf_FileDescriptorSet(serializedBytes: bytes))?.file ?? []
        let byName = Dictionary(files.map { ($0.name, $0) }) { first, _ in first }
        var fileOfSymbol: [String: String] = [:]
        var messages: Set<String> = []
        for file in files {
            var symbols = Symbols()
            symbols.collect(file)
            for symbol in symbols.all { fileOfSymbol[symbol] = file.name }
            messages.formUnion(symbols.messages)
        }
        self.fileOfSymbol = fileOfSymbol
        self.messages = messages
        answers = byName.mapValues { file in
            var response = Grpc_Reflection_V1_FileDescriptorResponse()
            response.fileDescriptorProto = Self.withImports(file, byName).compactMap { try? $0.serializedData() }
            return .fileDescriptorResponse(response)
        }
        var list = Grpc_Reflection_V1_ListServiceResponse()
        list.service = files.flatMap { file in file.service.map { "\(file.package).\($0.name)" } }.sorted().map { name in
            .with { $0.name = name }
        }
        services = .listServicesResponse(list)
    }

    func answer(to question: Grpc_Reflection_V1_ServerReflectionRequest) -> Grpc_Reflection_V1_ServerReflectionResponse {
        .with {
            $0.validHost = question.host
            $0.originalRequest = question
            $0.messageResponse = content(for: question.messageRequest)
        }
    }

    private func content(for question: Grpc_Reflection_V1_ServerReflectionRequest.OneOf_MessageRequest?) -> Answer {
        switch question {
        case .fileByFilename(let name):
            answers[name] ?? .error(.notFound, "no such file")
        case .fileContainingSymbol(let symbol):
            fileOfSymbol[symbol].flatMap { answers[$0] } ?? .error(.notFound, "no such symbol")
        case .fileContainingExtension:
            .error(.notFound, "no such extension")
        case .allExtensionNumbersOfType(let type) where messages.contains(type):
            .allExtensionNumbersResponse(.with { $0.baseTypeName = type })
        case .allExtensionNumbersOfType:
            .error(.notFound, "no such message")
        case .listServices:
            services
        case nil:
            .error(.invalidArgument, "no question")
        }
    }

    /// A file, then those it imports, each once.
    private static func withImports(
        _ file: Google_Protobuf_FileDescriptorProto, _ files: [String: Google_Protobuf_FileDescriptorProto]
    ) -> [Google_Protobuf_FileDescriptorProto] {
        var found = [file]
        var names: Set = [file.name]
        var next = 0
        while next < found.count {
            for name in found[next].dependency where names.insert(name).inserted {
                if let imported = files[name] { found.append(imported) }
            }
            next += 1
        }
        return found
    }
}

/// The full names that a file defines.
private struct Symbols {
    private(set) var all: [String] = []
    private(set) var messages: [String] = []

    mutating func collect(_ file: Google_Protobuf_FileDescriptorProto) {
        for message in file.messageType { collect(message, in: file.package) }
        for type in file.enumType { collect(type, in: file.package) }
        for service in file.service {
            let name = "\(file.package).\(service.name)"
            all.append(name)
            all += service.method.map { "\(name).\($0.name)" }
        }
    }

    private mutating func collect(_ message: Google_Protobuf_DescriptorProto, in scope: String) {
        let name = "\(scope).\(message.name)"
        all.append(name)
        messages.append(name)
        all += message.field.map { "\(name).\($0.name)" } + message.oneofDecl.map { "\(name).\($0.name)" }
        for nested in message.nestedType { collect(nested, in: name) }
        for type in message.enumType { collect(type, in: name) }
    }

    /// The values of an enum belong to what the enum belongs to.
    private mutating func collect(_ type: Google_Protobuf_EnumDescriptorProto, in scope: String) {
        all.append("\(scope).\(type.name)")
        all += type.value.map { "\(scope).\($0.name)" }
    }
}

extension ContractDescription.Answer {
    fileprivate static func error(_ code: RPCError.Code, _ message: String) -> Self {
        .errorResponse(.with {
            $0.errorCode = Int32(code.rawValue)
            $0.errorMessage = message
        })
    }
}
